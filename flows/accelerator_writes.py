"""Reports of runs, written into Prefect's own tables as its API writes them: one batch is three statements."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from flows.accelerator_runs import PrefectRun, after_each
from flows.telling import Report

# As models/flow_runs.py:set_flow_run_state locks a run and reads it. A row that somebody else has locked is left to
# Prefect; so is one whose state changed before it was locked here: the join does not find its new state.
READ = """
SELECT run.id, run.name, run.flow_id, run.deployment_id, run.work_queue_id, run.tags, run.created_by,
       run.parent_task_run_id IS NULL
           AND deployment.concurrency_limit_id IS NULL
           AND state.state_details ->> 'deployment_concurrency_lease_id' IS NULL
           AND run.empirical_policy ->> 'resuming' IS DISTINCT FROM 'true' AS is_plain,
       coalesce((state.state_details ->> 'scheduled_time')::timestamptz > clock_timestamp(), false) AS is_early,
       run.run_count, run.start_time, run.end_time, run.total_run_time,
       state.id AS state_id, state.type::text AS state_type, state.name AS state_name,
       state.message AS state_message, state.timestamp AS state_timestamp,
       ARRAY(SELECT past.id FROM flow_run_state AS past WHERE past.flow_run_id = run.id) AS state_ids,
       ARRAY(SELECT past.timestamp FROM flow_run_state AS past WHERE past.flow_run_id = run.id) AS state_timestamps
  FROM flow_run AS run
  JOIN flow_run_state AS state ON state.id = run.state_id
  LEFT JOIN deployment ON deployment.id = run.deployment_id
 WHERE run.id = ANY(%s)
   FOR UPDATE OF run SKIP LOCKED
"""

# As orchestration/rules.py:FlowOrchestrationContext._validate_proposed_state adds a state.
INSERT_STATES = """
INSERT INTO flow_run_state (id, flow_run_id, type, name, message, timestamp, state_details)
SELECT id, run_id, type::state_type, name, message, timestamp,
       %s::jsonb || jsonb_build_object('flow_run_id', run_id)
  FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
       AS told (id, run_id, type, name, message, timestamp)
"""

# As orchestration/global_policy.py:GlobalFlowPolicy leaves a run.
UPDATE_RUNS = """
UPDATE flow_run AS run
   SET state_id = told.state_id, state_type = told.type::state_type, state_name = told.name,
       state_timestamp = told.timestamp, run_count = told.run_count, start_time = told.start_time,
       end_time = told.end_time, total_run_time = told.total_run_time,
       next_scheduled_start_time =
           CASE WHEN run.state_type = 'SCHEDULED' THEN NULL ELSE run.next_scheduled_start_time END,
       updated = now()
  FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::int[], %s::timestamptz[],
              %s::timestamptz[], %s::interval[])
       AS told (id, state_id, type, name, timestamp, run_count, start_time, end_time, total_run_time)
 WHERE run.id = told.id
"""

# As schemas/states.py:StateDetails is stored; UpdateStateDetails adds the run's id.
STATE_DETAILS = json.dumps(
    {
        "task_run_id": None,
        "child_flow_run_id": None,
        "scheduled_time": None,
        "cache_key": None,
        "cache_expiration": None,
        "deferred": False,
        "untrackable_result": False,
        "pause_timeout": None,
        "pause_reschedule": False,
        "pause_key": None,
        "run_input_keyset": None,
        "refresh_cache": None,
        "retriable": None,
        "transition_id": None,
        "task_parameters_id": None,
        "traceparent": None,
        "deployment_concurrency_lease_id": None,
    }
)

Change = tuple[PrefectRun, PrefectRun]
"""A run before and after a report."""


@dataclass(slots=True)
class Written:
    """What one transaction wrote."""

    met: set[UUID] = field(default_factory=set)
    """The runs that are there and that nobody else had locked."""
    told: set[UUID] = field(default_factory=set)
    """Those of them whose reports are all told."""
    changes: list[Change] = field(default_factory=list)


async def write(connection: "psycopg.AsyncConnection[Any]", reports: Mapping[UUID, Sequence[Report]]) -> Written:
    """Writes what can follow on what is there, and returns it with what was met. Within a transaction."""
    written = Written()
    last: list[PrefectRun] = []
    async with connection.cursor(row_factory=class_row(PrefectRun)) as cursor:
        await cursor.execute(READ, [list(reports)])
        for run in await cursor.fetchall():
            written.met.add(run.id)
            lived = after_each(run, reports[run.id])
            if lived is None:
                continue
            written.told.add(run.id)
            written.changes += zip((run, *lived), lived, strict=False)
            last += lived[-1:]
        if last:
            states = _columns_of_states(after for _, after in written.changes)
            await cursor.execute(INSERT_STATES, [STATE_DETAILS, *states])
            await cursor.execute(UPDATE_RUNS, _columns_of_runs(last))
    return written


def _columns_of_states(runs: Iterable[PrefectRun]) -> list[list[Any]]:
    of = "state_id id state_type state_name state_message state_timestamp"
    return _columns(runs, of.split())


def _columns_of_runs(runs: Iterable[PrefectRun]) -> list[list[Any]]:
    of = "id state_id state_type state_name state_timestamp run_count start_time end_time total_run_time"
    return _columns(runs, of.split())


def _columns(runs: Iterable[PrefectRun], names: Sequence[str]) -> list[list[Any]]:
    rows = list(runs)
    return [[getattr(row, name) for row in rows] for name in names]

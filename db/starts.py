"""Starts: the moment at which runs become a worker's, each of them once, and many of them at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.arrays import values_of
from db.notifications import notify
from db.runs import RunKey, topics_of
from db.states import LEDGER_TRIGGERS, WAITING_STATES, Outcome, RunState, Trigger


@dataclass(frozen=True, slots=True)
class Start:
    """A run that a worker takes: its task as it is at that moment, and since when the worker had it in its hands."""

    key: RunKey
    task_id: UUID
    task_name: str
    task_version: int
    trigger: str
    held_at: datetime


def _among(values: Iterable[StrEnum]) -> str:
    return ", ".join(f"'{value.value}'" for value in sorted(values))


# One statement, because each one more is waited for between the due instant and the command. As text, because
# SQLAlchemy makes a statement with ON CONFLICT anew every time. A run that waits was asked for before: a rerun stays
# one, as the ledger's view of why it was made is older, so its trigger is left alone.
_START = text(
    f"""
WITH offered AS (
    SELECT * FROM unnest(
        CAST(:offered_id AS uuid[]), CAST(:offered_due_at AS timestamptz[]), CAST(:offered_task_id AS uuid[]),
        CAST(:offered_task_name AS text[]), CAST(:offered_task_version AS integer[]),
        CAST(:offered_trigger AS text[]), CAST(:offered_held_at AS timestamptz[])
    ) AS offered (id, due_at, task_id, task_name, task_version, trigger, held_at)
), started AS (
    INSERT INTO runs AS run (id, due_at, task_id, task_name, task_version, trigger, held_at,
                             state, reported, started_at, worker_id, worker)
    SELECT offered.*, '{RunState.RUNNING}', false, :started_at, :worker_id, :worker FROM offered
    ON CONFLICT (id, due_at) DO UPDATE
       SET state = excluded.state, reported = false, started_at = excluded.started_at,
           worker_id = excluded.worker_id, worker = excluded.worker,
           task_name = excluded.task_name, task_version = excluded.task_version, held_at = excluded.held_at
     WHERE run.state IN ({_among(WAITING_STATES)}) AND run.cancel_requested_at IS NULL
    RETURNING id, attempt
), shown AS (
    UPDATE task_status AS status
       SET last_run_id = offered.id, last_due_at = offered.due_at, last_state = '{RunState.RUNNING}'
      FROM offered JOIN started USING (id)
     WHERE status.task_id = offered.task_id
       AND offered.trigger <> '{Trigger.TEST}'
       AND (status.last_due_at IS NULL OR status.last_due_at <= offered.due_at)
), begun AS (
    UPDATE due_times
       SET outcome = '{Outcome.RUNNING}', reason = NULL, run_id = offered.id, task_version = offered.task_version,
           started_at = :started_at
      FROM offered JOIN started USING (id)
     WHERE due_times.task_id = offered.task_id AND due_times.due_at = offered.due_at
       AND due_times.outcome = '{Outcome.PENDING}' AND offered.trigger IN ({_among(LEDGER_TRIGGERS)})
)
SELECT id, attempt FROM started
"""  # noqa: S608 - its values are names of our own
)


def start_many(
    session: Session, starts: Sequence[Start], *, worker_id: UUID, worker: str, started_at: datetime
) -> dict[UUID, int]:
    """Takes runs of different tasks for a worker, with the due times that they execute, each once.

    Returns which attempt each is to begin with. Those are missing that were taken before, have ended, or are to be
    cancelled.
    """
    by = {"worker_id": worker_id, "worker": worker, "started_at": started_at}
    attempts = {row.id: row.attempt for row in session.execute(_START, by | _values(starts))}
    if attempts:
        notify(session, topics_of((one.key, one.task_id) for one in starts if one.key.id in attempts))
    return attempts


def _values(starts: Sequence[Start]) -> dict[str, Any]:
    return values_of(
        "offered",
        id=[one.key.id for one in starts],
        due_at=[one.key.due_at for one in starts],
        task_id=[one.task_id for one in starts],
        task_name=[one.task_name for one in starts],
        task_version=[one.task_version for one in starts],
        trigger=[one.trigger for one in starts],
        held_at=[one.held_at for one in starts],
    )

"""Chains: a task that runs whenever a run of another one ends as it waits for. No chain leads back to its beginning."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.audit import SYSTEM
from db.notifications import Topic, notify
from db.specs import AnyTask, FieldError, InvalidTask
from db.states import After, RunState, Trigger
from db.tables import RunRequest, Task

_ONE_AT_A_TIME = func.pg_advisory_xact_lock(0x63686E73)
LENGTH_AT_MOST = 1000
"""Tasks that are looked at for a way back."""
BACK = "This task would follow itself: {names}."

ENDED_AT_ONCE = 2000
"""After a long absence so many ends are looked at in one statement, and not all of them."""
_ENDED = f"""events.type IN ('run.{RunState.COMPLETED}', 'run.{RunState.FAILED}',
                           'run.{RunState.CRASHED}', 'run.{RunState.TIMED_OUT}')"""

_FOLLOW = text(
    f"""
WITH known AS (
    SELECT xid AS since, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS settled FROM chain_position FOR UPDATE
), bounds AS (
    -- All ends of one transaction are looked at together.
    SELECT since, coalesce((SELECT greatest(events.xid, since + 1) FROM events
                             WHERE events.xid >= since AND events.xid < settled AND {_ENDED}
                             ORDER BY events.xid OFFSET :at_most LIMIT 1), settled) AS until FROM known
), ended AS (
    SELECT events.task_id, events.run_id, events.due_at, events.type FROM events, bounds
     WHERE events.xid >= since AND events.xid < until AND {_ENDED}
), asked AS (
    INSERT INTO run_requests (id, task_id, requested_at, actor, trigger, due_at, not_before, attempt,
                              after_run_id, after_due_at)
    SELECT gen_random_uuid(), tasks.id, :now, '{SYSTEM}', '{Trigger.CHAIN}', :now, :now, 1, ended.run_id, ended.due_at
      FROM ended
      JOIN tasks ON tasks.deleted_at IS NULL AND NOT tasks.paused
       AND tasks.spec -> 'after' @> jsonb_build_array(jsonb_build_object('task_id', ended.task_id::text))
      JOIN runs ON runs.id = ended.run_id AND runs.due_at = ended.due_at AND runs.trigger <> '{Trigger.TEST}'
     WHERE EXISTS (
            SELECT FROM jsonb_array_elements(tasks.spec -> 'after') AS upstream
             WHERE upstream ->> 'task_id' = ended.task_id::text
               AND (upstream ->> 'on' = '{After.FINISHED}'
                    OR (upstream ->> 'on' = '{After.SUCCEEDED}') = (ended.type = 'run.{RunState.COMPLETED}')))
       -- What goes on elsewhere has not ended.
       AND NOT EXISTS (SELECT FROM run_requests AS rerun WHERE rerun.rerun_of = ended.run_id)
    ON CONFLICT DO NOTHING
    RETURNING 1
), moved AS (
    UPDATE chain_position SET xid = until FROM bounds WHERE until > since
)
SELECT count(*) FROM asked
"""  # noqa: S608 - the words are our own
)


def follow(session: Session, *, now: datetime) -> int:
    """Asks for the runs that follow those that ended since the last time; how many these are.

    Each run is looked at in the transaction that notes so: it is followed once, whoever dies in between.
    """
    asked = int(session.execute(_FOLLOW, {"now": now, "at_most": ENDED_AT_ONCE}).scalar_one())
    if asked:
        notify(session, [Topic.SYNC])
    return asked


def check(session: Session, spec: AnyTask, *, task_id: UUID | None) -> None:
    """The tasks that it is to follow are there, and none of them follows it.

    Raises:
        InvalidTask.
    """
    if not spec.after:
        return
    # Two that begin to follow each other at the same moment would not see it.
    session.execute(select(_ONE_AT_A_TIME))
    wanted = [upstream.task_id for upstream in spec.after]
    names = _names(session, wanted)
    for number, one in enumerate(wanted):
        if one not in names:
            raise InvalidTask([FieldError(field=f"after.{number}.task_id", message="There is no such task.")])
    if task_id is not None:
        _check_for_way_back(session, spec, task_id)


def _check_for_way_back(session: Session, spec: AnyTask, task_id: UUID) -> None:
    came_from: dict[UUID, UUID] = {}
    todo = [upstream.task_id for upstream in spec.after]
    seen: set[UUID] = set(todo)
    while todo and task_id not in seen and len(seen) < LENGTH_AT_MOST:
        rows = session.execute(select(Task.id, Task.spec["after"]).where(Task.id.in_(todo), Task.deleted_at.is_(None)))
        todo = []
        for one, after in rows:
            for above in _named_in(after):
                if above not in seen:
                    seen.add(above)
                    came_from[above] = one
                    todo.append(above)
    if task_id in seen:
        raise InvalidTask([FieldError(field="after", message=BACK.format(names=_way(session, task_id, came_from)))])


def _named_in(after: Any) -> Iterator[UUID]:
    """The tasks that a stored list of upstream tasks names, whatever else is stored there."""
    for upstream in after if isinstance(after, list) else ():
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            yield UUID(upstream["task_id"])


def _way(session: Session, task_id: UUID, came_from: Mapping[UUID, UUID]) -> str:
    """The names from the task back to itself."""
    way = [task_id]
    while way[-1] in came_from and len(way) < 10:
        way.append(came_from[way[-1]])
    names = _names(session, way)
    return ", then ".join(names.get(one, str(one)) for one in way)


def _names(session: Session, ids: Sequence[UUID]) -> dict[UUID, str]:
    rows = session.execute(select(Task.id, Task.name).where(Task.id.in_(ids), Task.deleted_at.is_(None)))
    return {row.id: row.name for row in rows}


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A task before or after another one; without a name where it is in the trash or gone."""

    id: UUID
    name: str | None
    on: After


@dataclass(frozen=True, slots=True)
class Chain:
    """What a task follows, and what follows it."""

    before: Sequence[Neighbour]
    after: Sequence[Neighbour]


def chain_of(session: Session, task_id: UUID, spec: AnyTask) -> Chain:
    """Its neighbours, in order of name."""
    names = _names(session, [upstream.task_id for upstream in spec.after])
    before = [Neighbour(one.task_id, names.get(one.task_id), one.on) for one in spec.after]
    named = select(Task.id, Task.name, Task.spec["after"]).where(
        Task.spec["after"].contains([{"task_id": str(task_id)}]), Task.deleted_at.is_(None)
    )
    after = [
        Neighbour(row[0], row[1], After(upstream["on"]))
        for row in session.execute(named.order_by(Task.name))
        for upstream in row[2]
        if isinstance(upstream, dict) and upstream.get("task_id") == str(task_id) and upstream.get("on") in set(After)
    ]
    return Chain(sorted(before, key=lambda one: one.name or ""), after)


@dataclass(frozen=True, slots=True)
class Cause:
    """The run that another one follows."""

    run_id: UUID
    due_at: datetime
    task_name: str
    state: RunState


_CAUSE = text(
    """
SELECT run_requests.after_run_id, run_requests.after_due_at, runs.task_name, runs.state
  FROM run_requests JOIN runs ON runs.id = run_requests.after_run_id AND runs.due_at = run_requests.after_due_at
 WHERE run_requests.run_id = :run_id
"""
)


def cause_of(session: Session, run_id: UUID) -> Cause | None:
    """What this run follows; None where it follows none, or that is not kept any more."""
    row = session.execute(_CAUSE, {"run_id": run_id}).first()
    return None if row is None else Cause(row.after_run_id, row.after_due_at, row.task_name, RunState(row.state))


def followers_of(session: Session, run_id: UUID) -> Sequence[UUID]:
    """The runs that follow this one, or the requests for them."""
    rows = session.execute(
        select(RunRequest.id, RunRequest.run_id).where(
            RunRequest.after_run_id == run_id, RunRequest.trigger == Trigger.CHAIN
        )
    )
    return [row.run_id or row.id for row in rows]

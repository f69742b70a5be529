"""What a run waits for that has not begun, or is between two attempts: one sentence."""

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import heartbeats, pools
from db.states import ACTIVE_STATES, WAITING_STATES, Overlap, RunState, Trigger
from db.tables import Run, RunRequest, Task, TaskStatus
from db.why import Clock, sentence, the_run

SILENT_AFTER = timedelta(seconds=30)
IN_LINE = frozenset({Trigger.RERUN, Trigger.CHAIN})
"""Runs of these triggers wait for what goes on of their task."""


def of_run(session: Session, run: Run, *, now: datetime, zone: str = "UTC") -> str | None:
    """What this run waits for, also one that Prefect has still to make; None where it waits for nothing."""
    clock = Clock(ZoneInfo(zone), run.due_at)
    if run.state == RunState.RETRYING:
        return f"Its next attempt is made at {clock.at(run.retry_at)}." if run.retry_at else None
    if run.state not in WAITING_STATES:
        return None
    if run.cancel_requested_at is not None:
        return "It is being cancelled."
    begins_at = _begins_at(session, run)
    if begins_at > now:
        return f"Its time comes at {clock.at(begins_at)}."
    return of_task(session, run.task_id, now=now, zone=zone) or _in_line(session, run, clock) or "No worker has it yet."


def of_task(session: Session, task_id: UUID, *, now: datetime, zone: str = "UTC") -> str | None:
    """What every run of the task would wait for now; None where one would start."""
    pool = Task.spec["work_pool"].astext.label("pool")
    query = select(pool, TaskStatus.deployment_id, TaskStatus.sync_error).join(TaskStatus).where(Task.id == task_id)
    task = session.execute(query).one_or_none()
    if task is None:
        return None
    if task.deployment_id is None:
        error = task.sync_error
        refused = f"Prefect does not have the task: {sentence(error)}" if error else None
        return refused or _silent(session, now, zone) or "Prefect has not been told of the task yet."
    return pools.one_of(session, task.pool, now=now).why_not() or _silent(session, now, zone)


def _silent(session: Session, now: datetime, zone: str) -> str | None:
    """Whether a part does not answer without which nobody gets the run."""
    for part, name in ((heartbeats.RECONCILER, "The reconciler"), (heartbeats.PREFECT, "Prefect")):
        last = heartbeats.last(session, part)
        if last is None:
            return f"{name} was not heard of yet."
        if now - last.at > SILENT_AFTER:
            return f"{name} does not answer: it was last heard of at {Clock(ZoneInfo(zone), now).at(last.at)}."
    return None


def _begins_at(session: Session, run: Run) -> datetime:
    request = session.get(RunRequest, run.id)
    return request.not_before if request is not None and request.run_id is None else run.due_at


def _in_line(session: Session, run: Run, clock: Clock) -> str | None:
    """The run of the same task that has to end first, where this one comes after another."""
    if run.trigger not in IN_LINE:
        return None
    overlap = session.scalar(select(Task.spec["overlap"].astext).where(Task.id == run.task_id))
    active = select(Run).where(Run.task_id == run.task_id, Run.ended_at.is_(None), Run.state.in_(ACTIVE_STATES))
    before = session.scalar(active.order_by(Run.started_at).limit(1)) if overlap != Overlap.ALLOW else None
    if before is None:
        return None
    words = the_run(before, clock)
    return f"{words[0].upper()}{words[1:]} has to end first."

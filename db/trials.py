"""Trials: what a form holds, run once before it is saved, as a task of its own that then goes into the trash."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.orm import Session

from db import audit, run_requests, tasks
from db.specs import AnyTask, as_document, parse_task
from db.states import ACTIVE_STATES, WAITING_STATES
from db.tables import Run, RunRequest, Task, Trial
from db.values import MAX_NAME

WAITS_AT_MOST = timedelta(hours=1)
"""Nobody looks at the form any more, and what it does would surprise them."""
DESCRIPTION = "Made for a test run of a form that was not saved. When that is over, it goes into the trash by itself."


def trial_of(spec: AnyTask, *, number: str) -> AnyTask:
    """The task that does the same, but only by hand, under a name that nobody else has. Pure."""
    ending = f" (test {number})"
    named = {"name": spec.name[: MAX_NAME - len(ending)] + ending, "description": DESCRIPTION}
    never_due = {"schedule": {"kind": "manual"}, "starts_at": None, "ends_at": None}
    return parse_task({**as_document(spec), **named, **never_due, "after": [], "paused": False})


def begin(session: Session, spec: AnyTask, *, actor: str, now: datetime) -> UUID:
    """Makes the trial and asks for its run, which is a test: the request's id."""
    task_id = tasks.create_task(session, trial_of(spec, number=uuid4().hex[:6]), actor=actor, now=now)
    session.add(Trial(task_id=task_id))
    return run_requests.request_run(session, task_id, action={}, actor=actor, now=now)


def over(session: Session, *, now: datetime) -> Sequence[UUID]:
    """The tasks of those that have nothing left to do, or that nobody ran in time."""
    goes_on = exists().where(Run.task_id == Trial.task_id, Run.state.in_(ACTIVE_STATES))
    is_asked_for = exists().where(
        RunRequest.task_id == Trial.task_id, RunRequest.run_id.is_(None), RunRequest.refused.is_(None)
    )
    waits = or_(is_asked_for, exists().where(Run.task_id == Trial.task_id, Run.state.in_(WAITING_STATES)))
    is_over = or_(~waits, Task.created_at <= now - WAITS_AT_MOST)
    found = select(Trial.task_id).join(Task, Task.id == Trial.task_id).where(~goes_on, is_over)
    return session.scalars(found).all()


def end(session: Session, task_id: UUID, *, now: datetime) -> None:
    """Moves the trial into the trash."""
    task = session.get_one(Task, task_id)
    if task.deleted_at is None:
        tasks.delete_task(session, task_id, actor=audit.SYSTEM, now=now)
    session.execute(delete(Trial).where(Trial.task_id == task_id))

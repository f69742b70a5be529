"""Trials: what a form holds, run once before it is saved, as a task of its own that then goes into the trash."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from db import audit, run_requests, tasks
from db.specs import AnyTask, as_document, parse_task
from db.states import FINAL_STATES
from db.tables import Run, RunRequest, Task, Trial
from db.values import MAX_NAME

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


def end_those_over(session: Session, *, now: datetime) -> int:
    """Moves those into the trash that have nothing left to do; how many that were."""
    waits = exists().where(
        RunRequest.task_id == Trial.task_id, RunRequest.run_id.is_(None), RunRequest.refused.is_(None)
    )
    runs = exists().where(Run.task_id == Trial.task_id, Run.state.not_in(FINAL_STATES))
    over = session.scalars(select(Trial).where(~waits, ~runs).with_for_update(skip_locked=True)).all()
    for trial in over:
        if session.get_one(Task, trial.task_id).deleted_at is None:
            tasks.delete_task(session, trial.task_id, actor=audit.SYSTEM, now=now)
        session.delete(trial)
    return len(over)

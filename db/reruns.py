"""Reruns: how a run goes on when the machine under it dies.

While a run waits between attempts nothing of it is lost: the next attempt is made elsewhere. A run that died in the
midst of an attempt is begun again only where its task wants it done at least once.
"""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.audit import SYSTEM
from db.notifications import Topic, notify
from db.states import WITH_PARAMETERS, OnCrash, RunState, Trigger
from db.tables import Run, RunRequest, Task

DEATHS_AT_MOST = 5
"""A task that takes its machine down with it is not begun again for ever."""


def request(session: Session, run_id: UUID, holder: ColumnElement[bool], *, now: datetime) -> bool:
    """Asks for another run that goes on with this one, which dies in this transaction; False where none is wanted.

    `holder` is the condition under which the run is the caller's to end.
    """
    row = session.execute(_dying(run_id, holder)).first()
    if row is None or row.cancel_requested_at is not None or row.trigger in WITH_PARAMETERS:
        return False  # what it was made with is not its task's
    attempt = next_attempt(
        RunState(row.state), row.attempt, on_crash=OnCrash(row.spec["on_crash"]), retries=row.spec["retries"]
    )
    if attempt is None:
        return False
    wanted = insert(RunRequest).values(
        id=uuid4(),
        task_id=row.task_id,
        requested_at=now,
        actor=SYSTEM,
        trigger=Trigger.RERUN,
        due_at=row.due_at,
        not_before=(row.state == RunState.RETRYING and row.retry_at) or now,
        attempt=attempt,
        rerun_of=run_id,
        after_run_id=row.after_run_id,
        after_due_at=row.after_due_at,
    )
    session.execute(wanted.on_conflict_do_nothing())
    notify(session, [Topic.SYNC])
    return True


def _dying(run_id: UUID, holder: ColumnElement[bool]) -> Any:
    columns = (Run.task_id, Run.due_at, Run.trigger, Run.state, Run.attempt, Run.retry_at, Run.cancel_requested_at)
    return (
        select(*columns, Task.spec, RunRequest.after_run_id, RunRequest.after_due_at)
        .join(Task, Task.id == Run.task_id)
        .outerjoin(RunRequest, RunRequest.run_id == Run.id)
        .where(Run.id == run_id, holder, Run.ended_at.is_(None), Task.deleted_at.is_(None))
        .with_for_update(of=Run)
    )


def next_attempt(state: RunState, attempt: int, *, on_crash: OnCrash, retries: int) -> int | None:
    """The number of the attempt with which a run goes on that dies in this state; None where it does not. Pure."""
    if state is RunState.RETRYING:
        return attempt
    if on_crash is OnCrash.RERUN and attempt <= retries + DEATHS_AT_MOST:
        return attempt + 1
    return None

"""Due times that have passed and that nobody has claimed or decided, though nothing holds them up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from db.plans import plan_for_values
from db.states import Outcome
from db.tables import DueTime, Run, Task, TaskStatus

GOES_ON_WITHIN = timedelta(seconds=60)
"""A task of which a run ended so lately gets its turn: it catches up with what was missed, or waits in line."""
LAST_RUNS = 5
MOST = 200


@dataclass(frozen=True, slots=True)
class Overdue:
    """A task with due times that should have been claimed or decided."""

    task_id: UUID
    task_name: str
    pool: str
    due_at: datetime
    """The oldest of them."""
    count: int


def overdue(session: Session, *, before: datetime, now: datetime) -> Sequence[Overdue]:
    """Those due before an instant, the longest waiting first.

    Left out are tasks that Prefect refuses, which are told one by one, and those whose own runs go on.
    """
    plan_for_values(session)
    oldest, pool = func.min(DueTime.due_at).label("due_at"), Task.spec["work_pool"].astext
    query = (
        select(Task.id, Task.name, pool.label("pool"), oldest, func.count().label("count"))
        .join(Task, Task.id == DueTime.task_id)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .where(DueTime.outcome == Outcome.PENDING, DueTime.due_at < before, DueTime.reason.is_(None))
        .where(Task.deleted_at.is_(None), ~Task.paused, TaskStatus.sync_error.is_(None))
        .group_by(Task.id, Task.name, pool)
        .order_by(oldest)
        .limit(MOST)
    )
    found = [Overdue(*row) for row in session.execute(query)]
    busy = _going_on(session, [one.task_id for one in found], since=now - GOES_ON_WITHIN) if found else set()
    return [one for one in found if one.task_id not in busy]


def _going_on(session: Session, task_ids: Sequence[UUID], *, since: datetime) -> set[UUID]:
    """Those of which a run goes on, or ended since an instant."""
    last = (
        select(Run.ended_at, Run.started_at)
        .where(Run.task_id == Task.id)
        .order_by(Run.due_at.desc(), Run.id.desc())
        .limit(LAST_RUNS)
        .correlate(Task)
        .lateral()
    )
    goes_on = (last.c.started_at.is_not(None), or_(last.c.ended_at.is_(None), last.c.ended_at > since))
    return set(session.scalars(select(Task.id).join(last, goes_on[0] & goes_on[1]).where(Task.id.in_(task_ids))))

"""What the reconciler knows of each task in Prefect. Only the reconciler writes it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from db import stored
from db.notifications import Topic, notify, of
from db.specs import AnyTask
from db.states import Outcome
from db.tables import DueTime, Task, TaskStatus

SOON = timedelta(minutes=10)
EDITED, NEW, DELETED = range(3)


@dataclass(frozen=True, slots=True)
class Desired:
    """A task as Prefect should have it, and what Prefect was told last."""

    task_id: UUID
    version: int
    task: AnyTask
    deleted: bool
    deployment_id: UUID | None
    synced_version: int | None
    applied: dict[str, Any] | None
    updated_at: datetime
    sync_error: str | None
    broken: str | None = None
    """Why the task cannot be read; then `task` only stands in for it."""


def _desired() -> Any:
    return select(Task, TaskStatus).join(TaskStatus, TaskStatus.task_id == Task.id).order_by(Task.updated_at)


def unsynced(session: Session, *, limit: int = 100, besides: Collection[UUID] = ()) -> list[Desired]:
    """The tasks whose version Prefect has not seen and has not refused, most urgent first.

    Edits of tasks that Prefect has, the newest first, take turns with new tasks, first what is due soon and then what
    waits longest, so that however many there are of the one, the other goes on. What was deleted is not due any more
    and has the rest of the time: a turn in ten. But where another task has its name now, it makes room first.
    """
    heir = aliased(Task)
    in_the_way = Task.deleted_at.is_not(None) & exists().where(heir.name == Task.name, heir.deleted_at.is_(None))
    lane = case((Task.deleted_at.is_not(None), DELETED), (TaskStatus.deployment_id.is_not(None), EDITED), else_=NEW)
    pending = (DueTime.outcome == Outcome.PENDING, DueTime.due_at < func.now() + SOON)
    soon = select(DueTime.task_id, func.min(DueTime.due_at).label("due_at")).where(*pending).group_by(DueTime.task_id)
    due = soon.subquery()
    first = (case((lane == EDITED, Task.updated_at)).desc(), due.c.due_at.nulls_last(), Task.updated_at)
    turn = func.row_number().over(partition_by=lane, order_by=first)
    weighed = case((in_the_way, 0), (lane == DELETED, turn * 10), else_=turn)
    # Of many few are chosen, by what little the choice needs; only these are read.
    chosen = (
        select(Task.id, weighed.label("turn"), lane.label("lane"))
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .outerjoin(due, due.c.task_id == Task.id)
        .where(~TaskStatus.synced, TaskStatus.sync_error.is_(None), Task.id.not_in(besides))
        .order_by("turn", "lane")
        .limit(limit)
        .subquery()
    )
    query = _desired().join(chosen, chosen.c.id == Task.id).order_by(None).order_by(chosen.c.turn, chosen.c.lane)
    return [_read(row) for row in session.execute(query)]


def of_deployments(session: Session, deployment_ids: Collection[UUID]) -> dict[UUID, Desired]:
    """The tasks of these deployments, by the deployment."""
    rows = session.execute(_desired().where(TaskStatus.deployment_id.in_(deployment_ids)))
    return {row.TaskStatus.deployment_id: _read(row) for row in rows}


def not_among(session: Session, deployment_ids: Collection[UUID]) -> list[UUID]:
    """The tasks that are, or are still to be taken out of, Prefect, and have none of these deployments."""
    wanted = or_(Task.deleted_at.is_(None), TaskStatus.deployment_id.is_not(None))
    known = select(Task.id, TaskStatus.deployment_id).join(TaskStatus, TaskStatus.task_id == Task.id).where(wanted)
    return [row.id for row in session.execute(known) if row.deployment_id not in deployment_ids]


def some(session: Session, task_ids: Collection[UUID]) -> list[Desired]:
    """The tasks of these ids."""
    return [_read(row) for row in session.execute(_desired().where(Task.id.in_(task_ids)))]


def _read(row: Any) -> Desired:
    task, status = row.Task, row.TaskStatus
    found = stored.read(task.spec, name=task.name)
    return Desired(
        task_id=task.id,
        version=task.version,
        task=found.task,
        deleted=task.deleted_at is not None,
        deployment_id=status.deployment_id,
        synced_version=status.synced_version,
        applied=status.applied,
        updated_at=task.updated_at,
        sync_error=status.sync_error,
        broken=found.broken,
    )


def applied(session: Session, task_id: UUID) -> dict[str, Any] | None:
    """What Prefect was told of the task last; None before the first time."""
    return session.scalar(select(TaskStatus.applied).where(TaskStatus.task_id == task_id))


def record_synced(
    session: Session, task_id: UUID, *, version: int, deployment_id: UUID | None, applied: dict[str, Any] | None
) -> None:
    """Prefect has this version. A version that was made meanwhile stays to be synced."""
    session.execute(
        update(TaskStatus)
        .where(TaskStatus.task_id == task_id)
        .values(synced_version=version, deployment_id=deployment_id, applied=applied, sync_error=None)
    )
    notify(session, [Topic.TASKS, of(Topic.TASKS, task_id)])


def record_error(session: Session, task_id: UUID, message: str) -> bool:
    """Prefect would not take this task; the others go on. False where it said the same before."""
    changed = session.execute(
        update(TaskStatus)
        .where(TaskStatus.task_id == task_id, TaskStatus.sync_error.is_distinct_from(message))
        .values(sync_error=message)
        .returning(TaskStatus.task_id)
    ).first()
    if changed:
        notify(session, [Topic.TASKS, of(Topic.TASKS, task_id)])
    return changed is not None


def forget_deployments(session: Session) -> int:
    """Prefect's database is another one: everything is to be made anew. Returns how many tasks that concerns."""
    known = TaskStatus.deployment_id.is_not(None)
    values = {"synced_version": None, "deployment_id": None, "applied": None}
    return len(session.execute(update(TaskStatus).where(known).values(**values).returning(TaskStatus.task_id)).all())

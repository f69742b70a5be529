"""Every version that a task ever had."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.tables import Revision, Task


class Change(StrEnum):
    """How a version came to be."""

    CREATED = "created"
    EDITED = "edited"
    PAUSED = "paused"
    RESUMED = "resumed"
    DELETED = "deleted"
    RESTORED = "restored"


def record(session: Session, task: Task, *, change: Change, actor: str, at: datetime) -> None:
    """Keeps the task as it is now."""
    session.add(
        Revision(
            task_id=task.id,
            version=task.version,
            at=at,
            actor=actor,
            change=change,
            spec=task.spec,
            pause_reason=task.pause_reason,
            paused_until=task.paused_until,
        )
    )


def paused_since(session: Session, task_id: UUID) -> datetime:
    """When the pause that the task is in began."""
    active = select(func.coalesce(func.max(Revision.version), 0)).where(
        Revision.task_id == task_id, ~Revision.spec["paused"].as_boolean()
    )
    first_paused = select(Revision.at).where(
        Revision.task_id == task_id, Revision.version == active.scalar_subquery() + 1
    )
    return session.scalars(first_paused).one()


def list_revisions(session: Session, task_id: UUID) -> Sequence[Revision]:
    """All of them, newest first."""
    return session.scalars(
        select(Revision).where(Revision.task_id == task_id).order_by(Revision.version.desc()).limit(1000)
    ).all()

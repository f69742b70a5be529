"""Every version that a task ever had."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.errors import BadCursor
from db.pages import decode_cursor, encode_cursor
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


def list_revisions(
    session: Session, task_id: UUID, *, limit: int = 1000, cursor: str | None = None
) -> Sequence[Revision]:
    """The newest of them first, or those before the version that a cursor names.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    query = select(Revision).where(Revision.task_id == task_id)
    if cursor is not None:
        query = query.where(Revision.version < _version_in(cursor))
    return session.scalars(query.order_by(Revision.version.desc()).limit(limit)).all()


def around(session: Session, task_id: UUID, version: int) -> Sequence[Revision]:
    """A version and the one before it, as far as they are there."""
    query = select(Revision).where(Revision.task_id == task_id, Revision.version.in_([version - 1, version]))
    return session.scalars(query.order_by(Revision.version)).all()


def cursor_after(revision: Revision) -> str:
    """Continues with the versions before this one."""
    return encode_cursor(str(revision.version))


def _version_in(cursor: str) -> int:
    word = decode_cursor(cursor, keys=1)[0]
    if not word.isascii() or not word.isdecimal() or len(word) > 9:
        raise BadCursor
    return int(word)

"""Who did what, when. Every command writes its entry in its own transaction."""

from contextvars import ContextVar
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.errors import BadCursor
from db.pages import Page, decode_cursor, encode_cursor
from db.plans import plan_for_values
from db.tables import AuditEntry, Task

SYSTEM = "duetime"
PREFECT = "prefect"
ADDRESS: ContextVar[str | None] = ContextVar("address", default=None)
"""From where what is being done is done. A door sets it; what works by itself comes from nowhere."""


def record(
    session: Session,
    *,
    at: datetime,
    actor: str,
    change: str,
    task: Task | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Adds an entry. The task's name is kept with it, because the task may be gone when it is read."""
    session.add(
        AuditEntry(
            at=at,
            actor=actor,
            change=change,
            task_id=task.id if task else None,
            task_name=str(task.spec["name"]) if task else None,
            version=task.version if task else None,
            details=details or {},
            address=ADDRESS.get(),
        )
    )


def entries(
    session: Session,
    *,
    actor: str = "",
    change: str = "",
    task_id: UUID | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[AuditEntry]:
    """A page of entries, newest first; `actor` and `change` are how theirs begin.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    plan_for_values(session)
    query = select(AuditEntry)
    if actor:
        query = query.where(AuditEntry.actor.startswith(actor, autoescape=True))
    if change:
        query = query.where(AuditEntry.change.startswith(change, autoescape=True))
    if task_id is not None:
        query = query.where(AuditEntry.task_id == task_id)
    if cursor is not None:
        query = query.where(AuditEntry.id < _id_in(cursor))
    rows = session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    return Page(rows[:limit], encode_cursor(str(rows[limit - 1].id)) if more else None)


def _id_in(cursor: str) -> int:
    word = decode_cursor(cursor, keys=1)[0]
    if not word.isascii() or not word.isdecimal() or len(word) > 18:
        raise BadCursor
    return int(word)

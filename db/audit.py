"""Who did what, when. Every command writes its entry in its own transaction."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.tables import AuditEntry, Task

SYSTEM = "duetime"
PREFECT = "prefect"


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
            task_name=task.spec["name"] if task else None,
            version=task.version if task else None,
            details=details or {},
        )
    )

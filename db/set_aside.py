"""What the reconciler could not handle and set aside, with the reason, while it goes on with the rest.

Written by the reconciler, which remembers it; read by whoever looks what needs somebody.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from db.tables import SetAside

KEPT = 1000
"""More are not shown."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that could not be handled: `what` it is, by its kind and key, and why."""

    what: str
    key: str
    reason: str
    times: int
    since: datetime
    last_at: datetime
    task_id: UUID | None = None
    """Whose it is, where it is a task's."""


def write(session: Session, items: Sequence[Item]) -> None:
    """These are set aside now, and nothing else."""
    session.execute(delete(SetAside))
    if items:
        session.execute(insert(SetAside), [asdict(item) for item in items[:KEPT]])


def of_task(session: Session, task_id: UUID) -> Sequence[SetAside]:
    """What of a task is set aside, newest first."""
    mine = select(SetAside).where(SetAside.task_id == task_id)
    return session.scalars(mine.order_by(SetAside.last_at.desc())).all()

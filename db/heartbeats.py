"""When the parts that are one of a kind last did their work, and which process does it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, delete, literal, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from db.tables import Heartbeat

RECONCILER = "reconciler"
PREFECT = "prefect"
AUDIT = "audit"
DASHBOARD = "dashboard"
LEASE = timedelta(seconds=8)
"""After so long without a word from its holder, another process takes a part over."""


def hold_lease(session: Session, part: str, holder: UUID, *, now: datetime) -> bool:
    """Whether this process is the one that does the part's work now; asking renews the lease."""
    mine = Heartbeat.details["holder"].astext == str(holder)
    # What lies far ahead was noted before the clock was set back.
    free = or_(mine, Heartbeat.at < now - LEASE, Heartbeat.at > now + LEASE)
    session.execute(
        insert(Heartbeat).values(part=part, at=now - LEASE * 2, details={"holder": None}).on_conflict_do_nothing()
    )
    taken = literal({"holder": str(holder), "since": now.isoformat()}, JSONB)
    held = session.execute(
        update(Heartbeat)
        .where(Heartbeat.part == part, free)
        .values(at=now, details=case((mine & (Heartbeat.at >= now - LEASE), Heartbeat.details), else_=taken))
        .returning(Heartbeat.part)
    ).first()
    return held is not None


def held_since(session: Session, part: str, *, now: datetime) -> datetime | None:
    """Since when the same process has done the part's work without a pause; None where nobody does."""
    found = last(session, part)
    since = None if found is None or found.at < now - LEASE else found.details.get("since")
    return datetime.fromisoformat(since) if since else None


def release_lease(session: Session, part: str, holder: UUID, *, now: datetime) -> None:
    """This process does the part's work no more: another one need not wait for the end of its lease."""
    mine = (Heartbeat.part == part, Heartbeat.details["holder"].astext == str(holder))
    session.execute(update(Heartbeat).where(*mine).values(at=now - LEASE * 2, details={"holder": None}))


def beat(session: Session, part: str, *, now: datetime, details: dict[str, Any] | None = None) -> None:
    """Notes that the part did its work."""
    values = {"at": now, "details": details or {}}
    session.execute(
        insert(Heartbeat).values(part=part, **values).on_conflict_do_update(index_elements=["part"], set_=values)
    )


def forget(session: Session, part: str) -> None:
    """As if it had never been heard of."""
    session.execute(delete(Heartbeat).where(Heartbeat.part == part))


def last(session: Session, part: str) -> Heartbeat | None:
    """When, and what it said; None before the first time."""
    return session.scalar(select(Heartbeat).where(Heartbeat.part == part).execution_options(populate_existing=True))

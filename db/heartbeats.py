"""When the parts that are one of a kind last did their work, and which process does it.

A process holds the lease of its part by renewing it. Whoever takes the lease over waits for the transactions of the
process before, which look at the beginning whether it is still theirs: so only one process at a time writes.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from db.tables import Heartbeat

RECONCILER = "reconciler"
PREFECT = "prefect"
AUDIT = "audit"
DASHBOARD = "dashboard"
PASSES = "passes"
"""When each pass of the reconciler was last made."""
SEES_PREFECT = "sees prefect"
"""Which reconciler, leading or not, Prefect answered last."""
LEASE = timedelta(seconds=8)
"""After so long without a word from its holder, another process takes a part over."""
SEEN_WITHIN = timedelta(seconds=15)
_HELD = 0x6C65617365  # an advisory lock: shared by the transactions of the holder, taken alone to take the lease over


def hold_lease(session: Session, part: str, holder: UUID, *, now: datetime) -> bool:
    """Whether this process is the one that does the part's work now; asking renews the lease."""
    goes_on = case((Heartbeat.at >= now - LEASE, Heartbeat.details), else_=_begins(holder, now))
    renewed = update(Heartbeat).where(Heartbeat.part == part, _is_of(holder)).values(at=now, details=goes_on)
    if session.execute(renewed.returning(Heartbeat.part)).first() is not None:
        return True
    session.execute(
        insert(Heartbeat).values(part=part, at=now - LEASE * 2, details={"holder": None}).on_conflict_do_nothing()
    )
    # What lies far ahead was noted before the clock was set back.
    free = (Heartbeat.part == part, or_(Heartbeat.at < now - LEASE, Heartbeat.at > now + LEASE))
    if session.scalar(select(Heartbeat.part).where(*free)) is None:
        return False
    session.execute(select(func.pg_advisory_xact_lock(_HELD)))
    taken = update(Heartbeat).where(*free).values(at=now, details=_begins(holder, now))
    return session.execute(taken.returning(Heartbeat.part)).first() is not None


def holds(session: Session, part: str, holder: UUID) -> bool:
    """Whether this process holds the lease; if so, nobody else gets it before this transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock_shared(_HELD)))
    return session.scalar(select(Heartbeat.part).where(Heartbeat.part == part, _is_of(holder))) is not None


def _begins(holder: UUID, now: datetime) -> Any:
    return literal({"holder": str(holder), "since": now.isoformat()}, JSONB)


def held_since(session: Session, part: str, *, now: datetime) -> datetime | None:
    """Since when the same process has done the part's work without a pause; None where nobody does."""
    found = last(session, part)
    since = None if found is None or found.at < now - LEASE else found.details.get("since")
    return datetime.fromisoformat(since) if since else None


def release_lease(session: Session, part: str, holder: UUID, *, now: datetime) -> None:
    """This process does the part's work no more: another one need not wait for the end of its lease."""
    mine = (Heartbeat.part == part, _is_of(holder))
    session.execute(update(Heartbeat).where(*mine).values(at=now - LEASE * 2, details={"holder": None}))


def _is_of(holder: UUID) -> Any:
    return Heartbeat.details["holder"].astext == str(holder)


def another_sees_prefect(session: Session, holder: UUID, *, now: datetime) -> bool:
    """Whether Prefect answers a reconciler that is not this one."""
    seen = last(session, SEES_PREFECT)
    return seen is not None and seen.details["holder"] != str(holder) and abs(now - seen.at) < SEEN_WITHIN


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


def passes_made(session: Session) -> dict[str, datetime]:
    """When each pass of the reconciler was last made to its end."""
    noted = last(session, PASSES)
    return {} if noted is None else {name: datetime.fromisoformat(at) for name, at in noted.details.items()}

"""Events: what happened, in the order in which it was committed, for listeners that come back where they left.

The rows are numbered by the transactions that wrote them. A transaction that began earlier may commit later, so what is
read ends before the oldest that is still under way: nothing can appear any more before what was told.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.errors import EventsForgotten

KEPT = timedelta(hours=24)
"""A listener may be away for so long and misses nothing."""
LARGEST = 2**63 - 1

SETTLED = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
NEXT = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_READ = text(
    f"""
SELECT events.xid, events.number, events.at, events.type, events.task_id, tasks.name AS task_name, events.version,
       events.run_id, events.due_at
  FROM events LEFT JOIN tasks ON tasks.id = events.task_id
 WHERE (events.xid, events.number) > (:xid, :number) AND events.xid < {SETTLED}
 ORDER BY events.xid, events.number
 LIMIT :limit
"""  # noqa: S608 - the names are our own
)
_END = text(f"SELECT {SETTLED} AS settled")
_CHECK = text(
    f"SELECT (xid, number) > (:xid, :number) OR :xid > {NEXT} AS forgotten FROM forgotten_events"  # noqa: S608
)
_FORGOTTEN = text("SELECT xid, number FROM forgotten_events")
_FORGET = text(
    """
WITH old AS (
    DELETE FROM events WHERE (xid, number) IN (
        SELECT xid, number FROM events WHERE at < :before ORDER BY xid, number LIMIT :limit)
    RETURNING xid, number
), newest AS (
    SELECT xid, number FROM old ORDER BY xid DESC, number DESC LIMIT 1
), noted AS (
    UPDATE forgotten_events SET xid = newest.xid, number = newest.number FROM newest
     WHERE (newest.xid, newest.number) > (forgotten_events.xid, forgotten_events.number)
)
SELECT count(*) FROM old
"""
)
_FROM_ELSEWHERE = (
    text(f"DELETE FROM events WHERE xid > {NEXT}"),  # noqa: S608
    text(f"UPDATE forgotten_events SET xid = 0, number = 0 WHERE xid > {NEXT}"),  # noqa: S608
)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a listener is: what comes after it is news."""

    xid: int
    number: int

    def __str__(self) -> str:
        return f"{self.xid}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The position that `str` wrote.

        Raises:
            ValueError: it wrote no such thing.
        """
        xid, _, number = text.partition("-")
        if not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in (xid, number)):
            raise ValueError(f"{text!r} is not the id of an event.")
        return cls(min(int(xid), LARGEST), min(int(number), LARGEST))


@dataclass(frozen=True, slots=True)
class Event:
    """`type` is `task.created`, `run.<state>`, `due_time.<outcome>`; the rest is what it happened to."""

    position: Position
    at: datetime
    type: str
    task_id: UUID
    task_name: str | None
    """As it is now; None where the task was removed for good."""
    version: int | None
    run_id: UUID | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a listener wants: types, also as `run.*`, and of one task; all where nothing is said."""

    types: frozenset[str] = frozenset()
    task_id: UUID | None = None

    def has(self, event: Event) -> bool:
        if self.task_id not in (None, event.task_id):
            return False
        return not self.types or not self.types.isdisjoint({event.type, f"{event.type.partition('.')[0]}.*"})


def read(session: Session, after: Position, *, limit: int) -> Sequence[Event]:
    """What happened next."""
    rows = session.execute(_READ, {"xid": after.xid, "number": after.number, "limit": limit})
    return [Event(Position(row.xid, row.number), *row[2:]) for row in rows]


def as_json(event: Event) -> str:
    """The event as everybody is told of it; what does not apply is left out. Pure."""
    kind, _, word = event.type.partition(".")
    told = {
        "id": str(event.position),
        "type": event.type,
        "at": _instant(event.at),
        "task_id": str(event.task_id),
        "task_name": event.task_name,
        "task_version": event.version,
        "run_id": None if event.run_id is None else str(event.run_id),
        "due_at": None if event.due_at is None else _instant(event.due_at),
        "state": word if kind == "run" else None,
        "outcome": word if kind == "due_time" else None,
    }
    return json.dumps({name: value for name, value in told.items() if value is not None}, ensure_ascii=False)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def end(session: Session) -> Position:
    """The present: nothing after it was told to anybody yet."""
    return Position(session.execute(_END).scalar_one(), 0)


def check(session: Session, position: Position) -> None:
    """Everything after the position is still there.

    Raises:
        EventsForgotten.
    """
    if session.execute(_CHECK, {"xid": position.xid, "number": position.number}).scalar_one():
        raise EventsForgotten(str(position))


def kept_from(session: Session, position: Position) -> Position:
    """The position, or the nearest after it from which on everything is still there."""
    try:
        check(session, position)
    except EventsForgotten:
        row = session.execute(_FORGOTTEN).one()
        # A position of another PostgreSQL server seems to come after all that there is.
        return Position(row.xid, row.number) if position.xid <= row.xid else end(session)
    return position


def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Removes events that are older, the oldest first, and says how many.

    With them goes what another PostgreSQL server counted: in a catalogue that was moved, nothing may seem to come
    later than what is yet to come.
    """
    for statement in _FROM_ELSEWHERE:
        session.execute(statement)
    return int(session.execute(_FORGET, {"before": before, "limit": limit}).scalar_one())

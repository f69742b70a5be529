"""The months of due times, runs and logs: made ahead, dropped when they are older than people want to keep."""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.errors import MonthsInUse, MonthTooFar

PARTITIONED = ("due_times", "runs", "run_logs")

MONTHS_BACK = 3
MONTHS_AHEAD = 3
MONTHS_BACK_AT_MOST = 24
LOCK = 7_463_002  # any number that nobody else locks in this database
LOCK_MILLISECONDS = 50
"""So long at most do claims and pages wait for a month to be dropped."""
LET_PASS_SECONDS = 0.2
PATIENCE_SECONDS = 30

_PARTITION = re.compile(r"(?P<table>[a-z_]+)_(?P<year>\d{4})_(?P<month>\d\d)\Z")


def first_of_month(at: datetime, *, months_later: int = 0) -> datetime:
    """Midnight UTC on the first day of the month that many months after this instant's."""
    months = at.astimezone(UTC).year * 12 + at.astimezone(UTC).month - 1 + months_later
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def oldest_instant(now: datetime) -> datetime:
    """No partition is promised for what is older."""
    return first_of_month(now, months_later=-MONTHS_BACK)


def newest_instant(now: datetime) -> datetime:
    """No partition is promised for this instant or later."""
    return first_of_month(now, months_later=MONTHS_AHEAD)


def is_promised(instant: datetime, *, now: datetime) -> bool:
    """Whether there is a partition for this instant, or there will be one as soon as the reconciler runs. Pure."""
    return oldest_instant(now) <= instant < newest_instant(now)


def ensure_partitions(session: Session, *, now: datetime) -> None:
    """Makes the partitions of a few months around now; those that exist are left alone.

    Nobody waits for it: a month is made apart and then attached, which the work on the other months does not notice.
    """
    if _missing(session, now=now):
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        for table, start in _missing(session, now=now):
            _make(session, table, start)


def ensure_month(session: Session, at: datetime, *, now: datetime) -> None:
    """Makes the partitions of the month of an instant that lies further back, where something still has to be noted.

    Raises:
        MonthTooFar.
    """
    if not first_of_month(now, months_later=-MONTHS_BACK_AT_MOST) <= at < newest_instant(now):
        raise MonthTooFar(at)
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    start, there = first_of_month(at), set(_partitions(session, PARTITIONED))
    for table in PARTITIONED:
        if f"{table}_{start:%Y_%m}" not in there:
            _make(session, table, start)


def _missing(session: Session, *, now: datetime) -> list[tuple[str, datetime]]:
    months = [first_of_month(now, months_later=months) for months in range(-MONTHS_BACK, MONTHS_AHEAD)]
    there = set(_partitions(session, PARTITIONED))
    return [(table, start) for table in PARTITIONED for start in months if f"{table}_{start:%Y_%m}" not in there]


def _make(session: Session, table: str, start: datetime) -> None:
    name, end = f"{table}_{start:%Y_%m}", first_of_month(start, months_later=1)
    session.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
    bounds = f"FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
    session.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}"))


def drop_partitions(session: Session, *, before: datetime, tables: tuple[str, ...] = PARTITIONED) -> list[str]:
    """Drops every month that ended before this instant, and says which. Irreversible.

    Raises:
        MonthsInUse.
    """
    old = old_partitions(session, before=before, tables=tables)
    drop(session, old)
    return old


def old_partitions(session: Session, *, before: datetime, tables: tuple[str, ...] = PARTITIONED) -> list[str]:
    """The months that ended before this instant."""
    return [name for name in _partitions(session, tables) if _ends_before(name, before)]


def _partitions(session: Session, tables: tuple[str, ...]) -> Sequence[str]:
    return session.scalars(
        text(
            "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
            "JOIN pg_class p ON p.oid = inhparent WHERE p.relname = ANY(:tables) ORDER BY 1"
        ),
        {"tables": list(tables)},
    ).all()


def drop(session: Session, partitions: Sequence[str]) -> None:
    """Drops these months. Irreversible; to be committed at once.

    Whoever drops a month has the whole table alone. So it waits only a moment for those who use the table, because all
    others wait behind it, lets them pass, and tries again.

    Raises:
        MonthsInUse: there was no such moment within half a minute.
    """
    if not partitions:
        return
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _dropped(session, partitions):
        if time.monotonic() > deadline:
            raise MonthsInUse
        time.sleep(LET_PASS_SECONDS)


def _dropped(session: Session, partitions: Sequence[str]) -> bool:
    tables = sorted({match["table"] for name in partitions if (match := _PARTITION.match(name))})
    try:
        with session.begin_nested():
            session.execute(text(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}"))
            session.execute(text(f"LOCK TABLE ONLY {', ONLY '.join(tables)} IN ACCESS EXCLUSIVE MODE"))
            session.execute(text(f"DROP TABLE {', '.join(partitions)}"))
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        return False
    return True


def _ends_before(partition: str, instant: datetime) -> bool:
    match = _PARTITION.match(partition)
    if match is None:
        return False
    start = datetime(int(match["year"]), int(match["month"]), 1, tzinfo=UTC)
    return first_of_month(start, months_later=1) <= instant

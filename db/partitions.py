"""The months of due times, runs and logs: made ahead, dropped when they are older than people want to keep."""

import re
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

PARTITIONED = ("due_times", "runs", "run_logs")

MONTHS_BACK = 3
MONTHS_AHEAD = 3

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


def ensure_partitions(session: Session, *, now: datetime) -> None:
    """Makes the partitions of a few months around now; those that exist are left alone."""
    for table in PARTITIONED:
        for months in range(-MONTHS_BACK, MONTHS_AHEAD):
            start, end = first_of_month(now, months_later=months), first_of_month(now, months_later=months + 1)
            session.execute(
                text(
                    f"CREATE TABLE IF NOT EXISTS {table}_{start:%Y_%m} PARTITION OF {table} "
                    f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
                )
            )


def drop_partitions(session: Session, *, before: datetime, tables: tuple[str, ...] = PARTITIONED) -> list[str]:
    """Drops every month that ended before this instant, and says which. Irreversible."""
    names = session.execute(
        text(
            "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
            "JOIN pg_class p ON p.oid = inhparent WHERE p.relname = ANY(:tables) ORDER BY 1"
        ),
        {"tables": list(tables)},
    ).scalars()
    old = [name for name in names if _ends_before(name, before)]
    for name in old:
        session.execute(text(f'DROP TABLE "{name}"'))
    return old


def _ends_before(partition: str, instant: datetime) -> bool:
    match = _PARTITION.match(partition)
    if match is None:
        return False
    start = datetime(int(match["year"]), int(match["month"]), 1, tzinfo=UTC)
    return first_of_month(start, months_later=1) <= instant

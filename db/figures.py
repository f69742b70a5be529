"""Figures of what went on, counted by the database: how late, how long, how much is to come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

LATENESS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
DURATION_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
_SPREAD = """
SELECT width_bucket({value}, :bounds) AS bucket, count(*) AS count, coalesce(sum({value}), 0) AS total
  FROM runs WHERE due_at >= :since AND due_at < :until AND {there}
 GROUP BY 1
"""
_LATENESS = text(
    _SPREAD.format(value="extract(epoch FROM started_at - due_at)::float8", there="started_at IS NOT NULL")
)
_DURATION = text(
    _SPREAD.format(
        value="extract(epoch FROM ended_at - started_at)::float8",
        there="started_at IS NOT NULL AND ended_at IS NOT NULL",
    )
)
_DUE = text(
    "SELECT count(*) FROM due_times WHERE due_at >= :since AND due_at < :until AND outcome = 'pending'"
    " AND reason IS DISTINCT FROM 'closed'"
)


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread: how many are not above each bound, how many there are, and their sum."""

    up_to: Sequence[tuple[float, int]]
    count: int
    total: float


def lateness(session: Session, *, since: datetime, until: datetime) -> Spread:
    """Of the runs that were due then and have started, in seconds."""
    return _spread(session, _LATENESS, LATENESS_SECONDS, since, until)


def duration(session: Session, *, since: datetime, until: datetime) -> Spread:
    """Of the runs that were due then and have ended, in seconds."""
    return _spread(session, _DURATION, DURATION_SECONDS, since, until)


def due_between(session: Session, *, since: datetime, until: datetime) -> int:
    """The due times of that time that are still to come."""
    return session.scalar(_DUE, {"since": since, "until": until}) or 0


def _spread(session: Session, query: object, bounds: Sequence[float], since: datetime, until: datetime) -> Spread:
    rows = session.execute(query, {"bounds": list(bounds), "since": since, "until": until}).all()  # type: ignore[call-overload]
    counts = {row.bucket: row.count for row in rows}
    up_to, so_far = [], 0
    for number, bound in enumerate(bounds):
        so_far += counts.get(number, 0)
        up_to.append((bound, so_far))
    return Spread(up_to, sum(counts.values()), float(sum(row.total for row in rows)))

"""PostgreSQL's queue of notifications, which the slowest listener of the server keeps from being emptied.

When it is full no transaction that notifies can commit any more, of anybody.
"""

import logging
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from db import heartbeats
from db.notifications import APPLICATION

log = logging.getLogger(__name__)

PART = "notifications"
ALARM_SHARE = 0.1
"""People are told,"""
END_SHARE = 0.25
"""and listeners of ours are ended."""

_USAGE = text("SELECT pg_notification_queue_usage()")
_LISTENERS = text(
    # Of those that this role may not see, nothing is known.
    "SELECT pid, coalesce(state = 'idle' AND wait_event = 'ClientRead', true) AS reads FROM pg_stat_activity"
    " WHERE application_name = :application AND datname = current_database()"
)
_END = text("SELECT pg_terminate_backend(:pid)")


def usage(session: Session) -> float:
    """How much of the queue is taken, from 0 to 1."""
    return float(session.scalar(_USAGE) or 0.0)


def in_words(share: float) -> str:
    """How full it is, what follows, and what to do about it."""
    return (
        f"PostgreSQL's queue of notifications is {share * 100:.0f} % full. When it is full, nothing can be written any "
        "more. A listener of some database of this server does not read: end it (pg_stat_activity)."
    )


def watch(session: Session, *, now: datetime) -> int:
    """Notes since when the queue fills, and ends those that are behind; returns how many."""
    if usage(session) < ALARM_SHARE:
        heartbeats.forget(session, PART)
    elif filling_since(session) is None:
        heartbeats.beat(session, PART, now=now)
    return end_those_behind(session)


def filling_since(session: Session) -> datetime | None:
    """Since when more of it is taken than should be, as far as somebody watched; None where it was well then."""
    noted = heartbeats.last(session, PART)
    return None if noted is None else noted.at


def end_those_behind(session: Session) -> int:
    """Ends listeners of ours when the queue fills; returns how many. Each connects again, if its process lives.

    Those that do not read go first: which of the others are behind PostgreSQL does not tell, so all of them go.
    """
    if (share := usage(session)) < END_SHARE:
        return 0
    listeners = session.execute(_LISTENERS, {"application": APPLICATION}).all()
    stuck = [row.pid for row in listeners if not row.reads]
    ended = sum(_end(session, pid) for pid in stuck or [row.pid for row in listeners])
    log.warning("PostgreSQL's queue of notifications is %.0f %% full: %d listeners were ended", share * 100, ended)
    return ended


def _end(session: Session, pid: int) -> bool:
    try:
        with session.begin_nested():
            return bool(session.scalar(_END, {"pid": pid}))
    except ProgrammingError as error:
        log.warning("A listener (process %d of PostgreSQL) cannot be ended: %s", pid, error.orig)
        return False

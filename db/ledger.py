"""The ledger as it is shown: newest first, and counted."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, cast, func, select
from sqlalchemy.orm import Session

from db.due_times import instant_in
from db.pages import Page, encode_cursor
from db.states import Outcome
from db.tables import DueTime


def newest(
    session: Session,
    task_id: UUID,
    *,
    now: datetime,
    since: datetime | None = None,
    limit: int = 20,
    cursor: str | None = None,
) -> Page[DueTime]:
    """A page of the due times that have come, newest first; `since` leaves the older ones out.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    query = select(DueTime).where(DueTime.task_id == task_id, DueTime.due_at <= now)
    if since is not None:
        query = query.where(DueTime.due_at >= since)
    if cursor is not None:
        query = query.where(DueTime.due_at < instant_in(cursor))
    rows = session.scalars(query.order_by(DueTime.due_at.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    return Page(rows[:limit], encode_cursor(rows[limit - 1].due_at.isoformat()) if more else None)


def upcoming(session: Session, task_id: UUID, *, after: datetime, limit: int = 3) -> Sequence[DueTime]:
    """The due times that are still to come, soonest first."""
    query = select(DueTime).where(
        DueTime.task_id == task_id, DueTime.due_at > after, DueTime.outcome == Outcome.PENDING
    )
    return session.scalars(query.order_by(DueTime.due_at).limit(limit)).all()


def count_outcomes(session: Session, task_id: UUID, *, since: datetime, until: datetime) -> dict[Outcome, int]:
    """How many due times of a task came to each outcome, later than an instant and up to another."""
    query = select(DueTime.outcome, func.count()).where(
        DueTime.task_id == task_id, DueTime.due_at > since, DueTime.due_at <= until
    )
    return {Outcome(outcome): count for outcome, count in session.execute(query.group_by(DueTime.outcome))}


def count_by_day(
    session: Session, task_id: UUID, *, zone: str, since: datetime, until: datetime
) -> dict[date, dict[Outcome, int]]:
    """How many due times of a task came to each outcome on each day of the zone, from an instant up to another."""
    day = cast(func.timezone(zone, DueTime.due_at), Date).label("day")
    query = select(day, DueTime.outcome, func.count()).where(
        DueTime.task_id == task_id, DueTime.due_at >= since, DueTime.due_at < until
    )
    found: dict[date, dict[Outcome, int]] = {}
    for at, outcome, count in session.execute(query.group_by("day", DueTime.outcome)):
        found.setdefault(at, {})[Outcome(outcome)] = count
    return found


def count_all_outcomes(session: Session, *, since: datetime, until: datetime) -> dict[Outcome, int]:
    """The same of all tasks."""
    query = select(DueTime.outcome, func.count()).where(DueTime.due_at > since, DueTime.due_at <= until)
    return {Outcome(outcome): count for outcome, count in session.execute(query.group_by(DueTime.outcome))}

"""The last hours summed up over all tasks: what was due and what became of it, what runs, what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, func, literal_column, or_, select, true
from sqlalchemy.orm import Session

from db.due_times import instant_in
from db.errors import BadCursor
from db.pages import Page, decode_cursor, encode_cursor
from db.plans import plan_for_values
from db.states import Outcome, Reason, RunState
from db.tables import DueTime, Run, Task
from db.task_views import PROBLEM_STATES

# As the index due_times_late has it; the second is db.why.LATE_FROM.
_WAS_LATE: ColumnElement[bool] = literal_column(
    "due_times.started_at - due_times.due_at >= interval '1 second'", Boolean
)


@dataclass(frozen=True, slots=True)
class Count:
    """So many due times of a slice of time had this outcome; `late`: they started late."""

    at: datetime
    outcome: Outcome
    late: bool
    count: int


@dataclass(frozen=True, slots=True)
class Coming:
    """A due time that is still to come, and its task."""

    due_at: datetime
    task_id: UUID
    task_name: str
    schedule: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DueTimeOf:
    """A row of the ledger with the name of its task."""

    row: DueTime
    task_name: str


def count_by_slice(session: Session, *, since: datetime, until: datetime, slice_: timedelta) -> list[Count]:
    """What became of the due times from `since` up to and with `until`, in slices that begin at `since`."""
    at = func.date_bin(slice_, DueTime.due_at, since).label("slice")
    late = func.coalesce(_WAS_LATE, literal_column("false")).label("late")
    query = select(at, DueTime.outcome, late, func.count())
    query = query.where(DueTime.due_at >= since, DueTime.due_at <= until).group_by("slice", DueTime.outcome, "late")
    return [Count(begin, Outcome(outcome), was, count) for begin, outcome, was, count in session.execute(query)]


def failures_by_slice(
    session: Session, *, since: datetime, until: datetime, slice_: timedelta
) -> list[tuple[datetime, int]]:
    """How many runs that were due then failed, crashed or took too long."""
    plan_for_values(session)
    at = func.date_bin(slice_, Run.due_at, since).label("slice")
    query = select(at, func.count()).where(Run.state.in_(PROBLEM_STATES), Run.due_at >= since, Run.due_at <= until)
    return [(begin, count) for begin, count in session.execute(query.group_by("slice"))]


def coming(session: Session, *, after: datetime, limit: int = 20) -> list[Coming]:
    """What is due next, soonest first. The ledger holds at least the next three due times of every task."""
    is_due = or_(~Task.paused, Task.paused_until <= DueTime.due_at)
    query = (
        select(DueTime.due_at, Task.id, Task.name, Task.spec["schedule"])
        .join(Task, Task.id == DueTime.task_id)
        .where(DueTime.due_at > after, DueTime.outcome == Outcome.PENDING, Task.deleted_at.is_(None), is_due)
        .where(DueTime.reason.is_distinct_from(Reason.CLOSED))
        .order_by(DueTime.due_at, DueTime.task_id)
        .limit(limit)
    )
    return [Coming(*row) for row in session.execute(query)]


def going_on(session: Session, *, limit: int = 10) -> list[Run]:
    """The runs that are being executed, the longest first."""
    query = select(Run).where(Run.ended_at.is_(None), Run.started_at.is_not(None))
    return list(session.scalars(query.order_by(Run.started_at).limit(limit)))


def count_going_on(session: Session) -> int:
    """How many runs are being executed."""
    query = select(func.count()).where(Run.ended_at.is_(None), Run.started_at.is_not(None))
    return session.scalar(query) or 0


def usual_seconds(
    session: Session, task_ids: Sequence[UUID], *, share: float = 0.95, of_runs: int = 20
) -> dict[UUID, float]:
    """How long runs of these tasks take: the given share of the last completed ones was no longer."""
    if not task_ids:
        return {}
    last = (
        select((Run.ended_at - Run.started_at).label("took"))
        .where(Run.task_id == Task.id, Run.state == RunState.COMPLETED, Run.started_at.is_not(None))
        .order_by(Run.due_at.desc(), Run.id.desc())
        .limit(of_runs)
        .correlate(Task)
        .lateral()
    )
    took = func.percentile_disc(share).within_group(func.extract("epoch", last.c.took))
    query = select(Task.id, took).join_from(Task, last, true()).where(Task.id.in_(task_ids))
    return {task_id: float(seconds) for task_id, seconds in session.execute(query.group_by(Task.id))}


def due_times_that(
    session: Session,
    *,
    outcome: Outcome | None,
    since: datetime,
    until: datetime,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[DueTimeOf]:
    """A page of due times of all tasks with this outcome, newest first; None stands for those that started late.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    plan_for_values(session)
    chosen = _WAS_LATE if outcome is None else DueTime.outcome == outcome
    query = (
        select(DueTime, Task.name)
        .join(Task, Task.id == DueTime.task_id)
        .where(chosen, DueTime.due_at > since, DueTime.due_at <= until)
    )
    if cursor is not None:
        query = query.where(_before(cursor))
    rows = session.execute(query.order_by(DueTime.due_at.desc(), DueTime.task_id.desc()).limit(limit + 1)).all()
    items = [DueTimeOf(row.DueTime, row.name) for row in rows[:limit]]
    return Page(items, _cursor_after(items[-1].row) if len(rows) > limit else None)


def _before(cursor: str) -> ColumnElement[bool]:
    at, task_id = decode_cursor(cursor, keys=2)
    last = instant_in(encode_cursor(at))
    try:
        key = UUID(task_id)
    except ValueError:
        raise BadCursor from None
    return (DueTime.due_at < last) | ((DueTime.due_at == last) & (DueTime.task_id < key))


def _cursor_after(row: DueTime) -> str:
    return encode_cursor(row.due_at.isoformat(), str(row.task_id))

"""The ledger: a row for every instant at which a task was due, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.errors import BadCursor
from db.notifications import Topic, notify, of
from db.pages import Page, decode_cursor, encode_cursor
from db.partitions import newest_instant, oldest_instant
from db.schedules import due_times, is_due_at
from db.specs import AnyTask, FieldError, InvalidTask, OnceSchedule, parse_task
from db.states import Outcome, Reason
from db.tables import DueTime, Task, TaskStatus

HORIZON = timedelta(minutes=10)
"""Pending rows are written at least this far ahead ..."""
AT_LEAST = 3
"""... and at least so many, so that a rare task shows what comes."""
AT_MOST = 1000
"""... but never more in one transaction."""
PLANNED_FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Planned:
    """The due times to write, and up to where the ledger is complete with them."""

    due_at: tuple[datetime, ...]
    until: datetime


def plan(task: AnyTask, *, after: datetime, now: datetime) -> Planned:
    """The due times later than `after` that the ledger should hold now. Pure."""
    horizon, newest = now + HORIZON, newest_instant(now)
    chosen: list[datetime] = []
    upcoming = due_times(task.schedule.value(), after=after, starts_at=task.starts_at, ends_at=task.ends_at)
    for at in upcoming:
        if at >= newest or (at > horizon and len(chosen) >= AT_LEAST):
            return Planned(tuple(chosen), max([horizon, *chosen[-1:]]))
        if len(chosen) >= AT_MOST:
            return Planned(tuple(chosen), chosen[-1])
        chosen.append(at)
    return Planned(tuple(chosen), PLANNED_FOR_EVER)


def write_ahead(session: Session, task_id: UUID, task: AnyTask, *, version: int, after: datetime, now: datetime) -> int:
    """Writes the pending rows later than `after`, notes how far they reach, and returns how many are new."""
    planned = plan(task, after=after, now=now)
    added = _add_pending(session, task_id, version, planned.due_at)
    session.execute(update(TaskStatus).where(TaskStatus.task_id == task_id).values(planned_until=planned.until))
    return added


def _add_pending(session: Session, task_id: UUID, version: int, instants: Sequence[datetime]) -> int:
    if not instants:
        return 0
    rows = [
        {"task_id": task_id, "due_at": at, "task_version": version, "outcome": Outcome.PENDING.value} for at in instants
    ]
    added = session.execute(insert(DueTime).values(rows).on_conflict_do_nothing().returning(DueTime.due_at))
    return len(added.all())


def rewrite(session: Session, task_id: UUID, task: AnyTask, *, version: int, now: datetime, catch_past: bool) -> None:
    """Replaces what is pending in the future by what the task as it is now asks for.

    With `catch_past`, a once that has passed is due all the same. What was due already stays due.

    Raises:
        InvalidTask: it passed before the months that the ledger has.
    """
    withdraw(session, task_id, now=now)
    write_ahead(session, task_id, task, version=version, after=now, now=now)
    if catch_past and isinstance(task.schedule, OnceSchedule) and task.schedule.at <= now:
        if task.schedule.at < oldest_instant(now):
            message = "This moment is too long ago to be caught up with. Choose one within the last three months."
            raise InvalidTask([FieldError(field="schedule.at", message=message)])
        _add_pending(session, task_id, version, [task.schedule.at])


def complete(session: Session, task: Task, *, now: datetime) -> None:
    """Writes what came to be due by the task as it is, before it changes: in an outage the ledger ends too early."""
    spec = parse_task(task.spec)
    planned_until = select(TaskStatus.planned_until).where(TaskStatus.task_id == task.id)
    while (until := session.scalar(planned_until)) is not None and until < now:
        after = max(until, oldest_instant(now))
        write_ahead(session, task.id, spec, version=task.version, after=after, now=now)


def write_if_due(session: Session, task: Task, spec: AnyTask, due_at: datetime) -> None:
    """Writes the row of a due time that comes after the end of the ledger, which an outage left behind."""
    until = session.scalar(select(TaskStatus.planned_until).where(TaskStatus.task_id == task.id))
    beyond = until is not None and until < due_at
    if beyond and is_due_at(spec.schedule.value(), due_at, starts_at=spec.starts_at, ends_at=spec.ends_at):
        _add_pending(session, task.id, task.version, [due_at])


def withdraw(session: Session, task_id: UUID, *, now: datetime) -> None:
    """Takes back the pending rows of the future: they never came to be due."""
    session.execute(
        delete(DueTime).where(DueTime.task_id == task_id, DueTime.due_at > now, DueTime.outcome == Outcome.PENDING)
    )


def cancel_overdue(session: Session, task_id: UUID, *, now: datetime) -> None:
    """Decides the due times that passed unclaimed before their task was deleted."""
    session.execute(
        update(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at <= now, DueTime.outcome == Outcome.PENDING)
        .values(outcome=Outcome.CANCELLED, reason=Reason.DELETED, decided_at=now)
    )


def skip_paused(session: Session, task_id: UUID, *, before: datetime, now: datetime) -> None:
    """Decides the due times that passed unclaimed during a pause that is over."""
    session.execute(
        update(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at < before, DueTime.outcome == Outcome.PENDING)
        .values(outcome=Outcome.SKIPPED, reason=Reason.PAUSED, decided_at=now)
    )


def extend(session: Session, *, now: datetime, limit: int = 200) -> int:
    """Writes ahead for tasks whose ledger ends soon, and returns how many tasks that were.

    After an outage it goes on where the ledger ended, so that what passed meanwhile has its rows, too.
    """
    soon = or_(TaskStatus.planned_until.is_(None), TaskStatus.planned_until < now + HORIZON / 2)
    due = session.execute(
        select(Task, TaskStatus.planned_until)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .where(Task.deleted_at.is_(None), soon)
        .order_by(TaskStatus.planned_until.nulls_first())
        .limit(limit)
        .with_for_update(of=[Task, TaskStatus], key_share=True, skip_locked=True)
    ).all()
    for task, planned_until in due:
        after = max(planned_until or task.created_at, oldest_instant(now))
        write_ahead(session, task.id, parse_task(task.spec), version=task.version, after=after, now=now)
    return len(due)


@dataclass(frozen=True, slots=True)
class Expected:
    """A pending due time with what is needed to see that it is run."""

    task_id: UUID
    due_at: datetime
    deployment_id: UUID | None
    schedule_id: str | None
    task: AnyTask


def pending_until(session: Session, *, until: datetime, limit: int = 2000) -> list[Expected]:
    """The pending due times up to an instant, oldest first, of tasks that are not deleted.

    Each with its task as it is at that due time: a pause may be over by then.
    """
    rows = session.execute(
        select(
            DueTime.task_id,
            DueTime.due_at,
            TaskStatus.deployment_id,
            TaskStatus.applied,
            Task.spec.op("||")(func.jsonb_build_object("paused", paused_at(DueTime.due_at))).label("spec"),
        )
        .join(Task, Task.id == DueTime.task_id)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .where(DueTime.outcome == Outcome.PENDING, DueTime.due_at <= until, Task.deleted_at.is_(None))
        .order_by(DueTime.due_at)
        .limit(limit)
    )
    return [
        Expected(
            row.task_id, row.due_at, row.deployment_id, (row.applied or {}).get("schedule_id"), parse_task(row.spec)
        )
        for row in rows
    ]


def paused_at(instant: Any) -> ColumnElement[bool]:
    """Whether the task is paused at an instant, or a column of instants, as far as anybody knows now."""
    return and_(Task.paused, or_(Task.paused_until.is_(None), Task.paused_until > instant))


def settle(
    session: Session, task_id: UUID, due_at: datetime, *, outcome: Outcome, reason: Reason | None, now: datetime
) -> bool:
    """Decides a pending due time; False where it was claimed or decided before, or is not there."""
    found = session.execute(
        update(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at == due_at, DueTime.outcome == Outcome.PENDING)
        .values(outcome=outcome, reason=reason, decided_at=now)
        .returning(DueTime.task_id)
    ).first()
    if found:
        notify(session, [Topic.TASKS, of(Topic.TASKS, task_id)])
    return found is not None


def begin(
    session: Session, task_id: UUID, due_at: datetime, *, run_id: UUID, version: int, started_at: datetime
) -> None:
    """The run executes this due time."""
    session.execute(
        update(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at == due_at, DueTime.outcome == Outcome.PENDING)
        .values(outcome=Outcome.RUNNING, run_id=run_id, started_at=started_at, task_version=version)
    )


def cancel_pending(session: Session, task_id: UUID, due_at: datetime, *, now: datetime) -> bool:
    """Somebody cancelled the run before it was claimed; False where the due time is not pending any more."""
    found = session.execute(
        update(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at == due_at, DueTime.outcome == Outcome.PENDING)
        .values(outcome=Outcome.CANCELLED, reason=Reason.CANCELLED, decided_at=now)
        .returning(DueTime.task_id)
    ).first()
    return found is not None


def list_due_times(
    session: Session,
    task_id: UUID,
    *,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    outcome: Outcome | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[DueTime]:
    """A page of the ledger, oldest first.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    query = select(DueTime).where(DueTime.task_id == task_id)
    if from_at is not None:
        query = query.where(DueTime.due_at >= from_at)
    if to_at is not None:
        query = query.where(DueTime.due_at < to_at)
    if outcome is not None:
        query = query.where(DueTime.outcome == outcome)
    if cursor is not None:
        query = query.where(DueTime.due_at > instant_in(cursor))
    rows = session.scalars(query.order_by(DueTime.due_at).limit(limit + 1)).all()
    more = len(rows) > limit
    return Page(rows[:limit], encode_cursor(rows[limit - 1].due_at.isoformat()) if more else None)


def instant_in(cursor: str) -> datetime:
    """The instant that the cursor continues after.

    Raises:
        BadCursor: it holds none.
    """
    try:
        at = datetime.fromisoformat(decode_cursor(cursor, keys=1)[0])
    except ValueError:
        raise BadCursor from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def first_after(task: AnyTask, *, now: datetime) -> datetime | None:
    """When the task is due next, by its schedule alone."""
    upcoming = due_times(task.schedule.value(), after=now, starts_at=task.starts_at, ends_at=task.ends_at)
    return next(islice(upcoming, 1), None)

"""The ledger: a row for every instant at which a task was due, and what became of it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, case, delete, func, or_, select, text, tuple_, update
from sqlalchemy.orm import Session, aliased

from db import stored
from db.arrays import INSTANTS, UUIDS, as_it_is, rows_of, values_of
from db.errors import BadCursor
from db.notifications import Topic, notify, of
from db.pages import Page, decode_cursor, encode_cursor
from db.partitions import newest_instant, oldest_instant
from db.plans import plan_for_values
from db.policies import ON_TIME
from db.schedules import Schedule, closing, due_times, next_due_times
from db.specs import AnyTask, FieldError, InvalidTask, OnceSchedule, parse_task
from db.states import Missed, Outcome, Reason, reason_of
from db.tables import DueTime, Task, TaskStatus

HORIZON = timedelta(minutes=10)
"""Pending rows are written at least this far ahead ..."""
AT_LEAST = 3
"""... and at least so many, so that a rare task shows what comes."""
AT_MOST = 1000
"""... but never more in one transaction."""
FOREIGN = "foreign"
"""The applied schedule of a deployment that Prefect alone can follow: its runs are nobody's due times."""
EXTENDED_AT_ONCE = 10
"""Tasks in one transaction: claims of theirs wait until it is over."""
# As text, because SQLAlchemy makes a statement with ON CONFLICT anew every time.
_ADD_PENDING = text(
    "INSERT INTO due_times (task_id, due_at, task_version, outcome, reason)"
    " SELECT task_id, due_at, task_version, :outcome, CASE WHEN closed THEN :closed END FROM unnest("
    "CAST(:new_task_id AS uuid[]), CAST(:new_due_at AS timestamptz[]), CAST(:new_task_version AS integer[]),"
    " CAST(:new_closed AS boolean[])) AS new (task_id, due_at, task_version, closed) ON CONFLICT DO NOTHING"
)
ODD = timedelta(days=1)
PLANNED_FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


NOT_CLAIMED = (Outcome.PENDING, Outcome.CANCELLED)
"""What the row of a due time may be that is still to come."""


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
    added = _add_pending(session, [Pending(task_id, version, task.schedule.value(), planned.due_at)])
    session.execute(update(TaskStatus).where(TaskStatus.task_id == task_id).values(planned_until=planned.until))
    return added


@dataclass(frozen=True, slots=True)
class Pending:
    """Due times of a task by one of its versions."""

    task_id: UUID
    version: int
    schedule: Schedule
    due_at: Sequence[datetime]


def _add_pending(session: Session, added: Iterable[Pending]) -> int:
    """Adds what is missing of these due times."""
    rows = [(one.task_id, one.version, at, closing(one.schedule, at) is not None) for one in added for at in one.due_at]
    if not rows:
        return 0
    task_ids, versions, due_at, closed = zip(*rows, strict=True)
    new = values_of("new", task_id=task_ids, task_version=versions, due_at=due_at, closed=closed)
    done = session.execute(_ADD_PENDING, new | {"outcome": Outcome.PENDING.value, "closed": Reason.CLOSED.value})
    return cast("CursorResult[Any]", done).rowcount


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
        _add_pending(session, [Pending(task_id, version, task.schedule.value(), [task.schedule.at])])


def complete(session: Session, task: Task, *, now: datetime) -> None:
    """Writes what came to be due by the task as it is: in an outage the ledger ends too early."""
    found = stored.read(task.spec)
    if found.broken is not None:
        return  # nobody can tell what came to be due
    spec = found.task
    planned_until = select(TaskStatus.planned_until).where(TaskStatus.task_id == task.id)
    while (until := session.scalar(planned_until)) is not None and until < now:
        after = max(until, oldest_instant(now))
        write_ahead(session, task.id, spec, version=task.version, after=after, now=now)


def withdraw(session: Session, task_id: UUID, *, now: datetime) -> None:
    """Takes back the rows of the future, which nobody has claimed: they never came to be due."""
    future = (DueTime.task_id == task_id, DueTime.due_at > now, DueTime.outcome.in_(NOT_CLAIMED))
    session.execute(delete(DueTime).where(*future))


def newest_claimed(session: Session, task_id: UUID, *, after: datetime) -> datetime | None:
    """The newest due time later than an instant that a worker, by its own clock, has run or refused already."""
    claimed = (DueTime.due_at > after, DueTime.outcome.not_in(NOT_CLAIMED))
    return session.scalar(select(func.max(DueTime.due_at)).where(DueTime.task_id == task_id, *claimed))


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


def reopen(session: Session, task_id: UUID, *, paused_at: datetime, missed: Missed) -> None:
    """Has what was skipped in a pause that began at an instant run all the same: nothing, the last one, or all."""
    if missed is Missed.NONE:
        return
    skipped = _skipped_in_pause(task_id, paused_at)
    wanted = select(DueTime.due_at).where(*skipped).order_by(DueTime.due_at.desc())
    if missed is Missed.LAST:
        wanted = wanted.limit(1)
    session.execute(
        update(DueTime)
        .where(*skipped, DueTime.due_at.in_(wanted))
        .values(outcome=Outcome.PENDING, reason=Reason.RESUMED, decided_at=None)
    )


def count_skipped(session: Session, task_id: UUID, *, paused_at: datetime) -> int:
    """How many due times were skipped in a pause that began at an instant, so far."""
    plan_for_values(session)
    return session.scalar(select(func.count()).where(*_skipped_in_pause(task_id, paused_at))) or 0


def list_skipped(session: Session, task_id: UUID, *, paused_at: datetime, limit: int) -> Sequence[datetime]:
    """The newest due times that were skipped in a pause that began at an instant."""
    plan_for_values(session)
    query = select(DueTime.due_at).where(*_skipped_in_pause(task_id, paused_at))
    return session.scalars(query.order_by(DueTime.due_at.desc()).limit(limit)).all()


def _skipped_in_pause(task_id: UUID, paused_at: datetime) -> tuple[ColumnElement[bool], ...]:
    skipped = (DueTime.outcome == Outcome.SKIPPED, DueTime.reason == Reason.PAUSED)
    return (DueTime.task_id == task_id, *skipped, DueTime.decided_at > paused_at)


def ending_soon(
    session: Session, *, now: datetime, limit: int = EXTENDED_AT_ONCE, besides: Collection[UUID] = ()
) -> list[UUID]:
    """The tasks whose ledger ends soon, the first to end first."""
    query = _ending_before(now + HORIZON / 2).where(Task.id.not_in(besides)).limit(limit)
    return [row.Task.id for row in session.execute(query)]


def extend(
    session: Session,
    *,
    now: datetime,
    limit: int = EXTENDED_AT_ONCE,
    only: Collection[UUID] | None = None,
    broken: dict[UUID, Exception] | None = None,
) -> int:
    """Writes ahead for tasks whose ledger ends soon, and returns how many tasks that were.

    After an outage it goes on where the ledger ended, so that what passed meanwhile has its rows, too. Tasks that
    cannot be read or evaluated are put into `broken`, and the others are not kept from theirs.
    """
    query = _ending_before(now + HORIZON / 2).limit(limit)
    rows = session.execute(query if only is None else query.where(Task.id.in_(only))).all()
    ending, plans = {}, {}
    for row in rows:
        try:
            spec = parse_task(row.Task.spec)
            plans[row.Task.id] = spec.schedule.value(), _next_of(row, spec, now=now)
            ending[row.Task.id] = row
        except Exception as error:
            if broken is None:
                raise
            broken[row.Task.id] = error
    if not ending:
        return 0
    # Locked only now, because claims wait meanwhile. What was changed since is left to the next time.
    locked = _ledger_ends().where(Task.id.in_(ending)).with_for_update(key_share=True, skip_locked=True)
    held = [
        row.id
        for row in session.execute(locked)
        if (row.version, row.planned_until) == (ending[row.id].version, ending[row.id].planned_until)
    ]
    _add_pending(
        session,
        (Pending(task_id, ending[task_id].version, plans[task_id][0], plans[task_id][1].due_at) for task_id in held),
    )
    ends = rows_of("ends", task_id=(UUIDS, held), until=(INSTANTS, [plans[task_id][1].until for task_id in held]))
    session.execute(update(TaskStatus).where(TaskStatus.task_id == ends.c.task_id).values(planned_until=ends.c.until))
    return len(held)


def _ending_before(instant: datetime) -> Any:
    soon = or_(TaskStatus.planned_until.is_(None), TaskStatus.planned_until < instant)
    return (
        select(Task, Task.version, TaskStatus.planned_until)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .where(Task.deleted_at.is_(None), soon)
        .order_by(TaskStatus.planned_until.nulls_first())
        .execution_options(populate_existing=True)
    )


def _ledger_ends() -> Any:
    return select(Task.id, Task.version, TaskStatus.planned_until).join(TaskStatus, TaskStatus.task_id == Task.id)


def _next_of(row: Any, task: AnyTask, *, now: datetime) -> Planned:
    after = max(row.planned_until or row.Task.created_at, oldest_instant(now))
    return plan(task, after=after, now=now)


def plan_anew(session: Session, *, now: datetime) -> int:
    """Has ledgers written again that were planned while the clock was ahead by months; how many these are.

    They go on from the last change of their tasks: rows that are there are not written twice.
    """
    ahead = TaskStatus.planned_until.between(newest_instant(now) + ODD, PLANNED_FOR_EVER - ODD)
    from_here = func.least(select(Task.updated_at).where(Task.id == TaskStatus.task_id).scalar_subquery(), now)
    anew = update(TaskStatus).where(ahead).values(planned_until=from_here).returning(TaskStatus.task_id)
    return len(session.execute(anew).all())


@dataclass(frozen=True, slots=True)
class Expected:
    """A pending due time with what is needed to see that it is run, or to decide that it is not."""

    task_id: UUID
    due_at: datetime
    deployment_id: UUID | None
    schedule_id: str | None
    task: AnyTask
    version: int
    waits_for: Reason | None
    newest_due_at: datetime | None
    """Of the due times of its task that have passed, whatever became of them."""


def pending_until(
    session: Session,
    *,
    until: datetime,
    now: datetime,
    limit: int = 10_000,
    broken: dict[UUID, Exception] | None = None,
) -> list[Expected]:
    """The pending due times up to an instant, of tasks that are not deleted, each with its task as it is then.

    First what is due about now, then what has passed for longer: of each task the oldest first, so that no task with
    many hides the others. Tasks that cannot be read are put into `broken`, and left out.
    """
    broken = {} if broken is None else broken
    rows = session.execute(_pending(until=until, now=now, limit=limit)).all()
    tasks = {row.Task.id: row for row in session.execute(_tasks_with_status({row.task_id for row in rows}, now=now))}
    specs: dict[tuple[UUID, bool], AnyTask] = {}
    found: list[Expected] = []
    for row in rows:
        known = tasks.get(row.task_id)
        # Which due time is the newest is only known of a ledger that reaches until now.
        if known is None or row.task_id in broken or (row.overdue and known.planned_until < now):
            continue
        key = row.task_id, is_paused_at(known.Task, row.due_at)
        if key not in specs:
            try:
                specs[key] = parse_task({**known.Task.spec, "paused": key[1]})
            except Exception as error:  # noqa: BLE001 - whatever is stored there
                broken[row.task_id] = error
                continue
        found.append(
            Expected(
                task_id=row.task_id,
                due_at=row.due_at,
                deployment_id=known.deployment_id,
                schedule_id=known.schedule_id,
                task=specs[key],
                version=known.Task.version,
                waits_for=reason_of(row.reason),
                newest_due_at=known.newest_due_at,
            )
        )
    return found


def _pending(*, until: datetime, now: datetime, limit: int) -> Any:
    overdue = (DueTime.due_at <= now - ON_TIME).label("overdue")
    rank = func.row_number().over(partition_by=DueTime.task_id, order_by=DueTime.due_at)
    return (
        select(DueTime.task_id, DueTime.due_at, DueTime.reason, overdue)
        .where(DueTime.outcome == Outcome.PENDING, DueTime.due_at <= until)
        .order_by(overdue, case((overdue, rank), else_=0), DueTime.due_at)
        .limit(limit)
    )


def newest_passed(task_id: Any, *, now: Any) -> Any:
    """The column of the newest due time of a task that has passed, whatever became of it, unless it was closed."""
    other = aliased(DueTime)
    is_open = other.reason.is_distinct_from(as_it_is(Reason.CLOSED))
    passed = select(func.max(other.due_at)).where(other.task_id == task_id, other.due_at <= now, is_open)
    return passed.scalar_subquery().label("newest_due_at")


def _tasks_with_status(task_ids: set[UUID], *, now: datetime) -> Any:
    schedule_id = TaskStatus.applied["schedule_id"].astext.label("schedule_id")
    newest = newest_passed(Task.id, now=now)
    return (
        select(Task, TaskStatus.deployment_id, TaskStatus.planned_until, schedule_id, newest)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        # Both are named, so that neither is read from end to end.
        .where(Task.id.in_(task_ids), TaskStatus.task_id.in_(task_ids), Task.deleted_at.is_(None))
        .execution_options(populate_existing=True)
    )


def is_paused_at(task: Task, instant: datetime) -> bool:
    """Whether the task is paused at an instant, as far as anybody knows now."""
    return task.paused and (task.paused_until is None or task.paused_until > instant)


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


def settle_many(
    session: Session, decided: Sequence[Expected], *, outcome: Outcome, reason: Reason, now: datetime
) -> int:
    """Decides many alike, and returns how many: not those of tasks that were changed since they were read."""
    seen = {one.task_id: one.version for one in decided}
    # Locked in one order, so that nobody claims, edits or resumes meanwhile.
    locked = session.execute(
        select(Task.id, Task.version).where(Task.id.in_(seen)).order_by(Task.id).with_for_update(read=True, of=Task)
    )
    unchanged = {task_id for task_id, version in locked if seen[task_id] == version}
    keys = [(one.task_id, one.due_at) for one in decided if one.task_id in unchanged]
    settled = session.scalars(
        update(DueTime)
        .where(tuple_(DueTime.task_id, DueTime.due_at).in_(keys), DueTime.outcome == Outcome.PENDING)
        .values(outcome=outcome, reason=reason, decided_at=now)
        .returning(DueTime.task_id)
    ).all()
    notify(session, [Topic.TASKS, *(of(Topic.TASKS, task_id) for task_id in set(settled))] if settled else [])
    return len(settled)


def is_running(task_id: Any) -> Any:
    """Whether a due time of the task is being run, also while it is handed from a machine that died to another."""
    other = aliased(DueTime)
    return select(other.due_at).where(other.outcome == as_it_is(Outcome.RUNNING), other.task_id == task_id).exists()


def put_in_line(session: Session, task_id: UUID, due_at: datetime) -> None:
    """Notes that a pending due time waits for its task's runs before it, and not because nobody is there."""
    session.execute(
        update(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at == due_at)
        .where(DueTime.outcome == Outcome.PENDING, DueTime.reason.is_(None))
        .values(reason=Reason.QUEUED)
    )


def is_foreign() -> Any:
    """The column that says whether Prefect alone can follow the deployment's schedule."""
    return (TaskStatus.applied["schedule"].astext == FOREIGN).label("foreign")


def not_to_run(
    session: Session, offered: Sequence[tuple[UUID, datetime]], *, now: datetime
) -> set[tuple[UUID, datetime]]:
    """Which of these deployments' instants, all past, are no due times, or are decided without having been run."""
    deployments = {deployment_id for deployment_id, _ in offered}
    known = select(TaskStatus.deployment_id, TaskStatus.task_id).where(
        TaskStatus.deployment_id.in_(deployments),
        TaskStatus.planned_until >= now,
        TaskStatus.applied["schedule"].astext.is_distinct_from(FOREIGN),
    )
    tasks = {row.deployment_id: row.task_id for row in session.execute(known)}
    keys = {(tasks[deployment_id], at) for deployment_id, at in offered if deployment_id in tasks}
    wanted = select(DueTime.task_id, DueTime.due_at).where(
        tuple_(DueTime.task_id, DueTime.due_at).in_(keys),
        or_(DueTime.outcome == Outcome.PENDING, DueTime.run_id.is_not(None)),
    )
    to_run = {(row.task_id, row.due_at) for row in session.execute(wanted)}
    return {(d, at) for d, at in offered if d in tasks and (tasks[d], at) not in to_run}


def begin(
    session: Session, task_id: UUID, due_at: datetime, *, run_id: UUID, version: int, started_at: datetime
) -> None:
    """The run executes this due time."""
    session.execute(
        update(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at == due_at, DueTime.outcome == Outcome.PENDING)
        .values(outcome=Outcome.RUNNING, reason=None, run_id=run_id, started_at=started_at, task_version=version)
    )


def go_on(session: Session, task_id: UUID, due_at: datetime, *, lost: UUID, run_id: UUID) -> None:
    """Another run goes on with the one that was lost."""
    session.execute(
        update(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at == due_at)
        .where(DueTime.outcome == Outcome.RUNNING, DueTime.run_id == lost)
        .values(run_id=run_id)
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
        plan_for_values(session)
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
    """When the task is due next, by its schedule and its calendars alone."""
    schedule = task.schedule.value()
    upcoming = next_due_times(schedule, after=now, count=1, starts_at=task.starts_at, ends_at=task.ends_at)
    return next(iter(upcoming), None)

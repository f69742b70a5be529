"""Tasks: the commands that change them.

Every change is one transaction: the task with its new version, the revision, the audit entry, the due times that follow
from it, and a hint to whoever looks. The order of the commits is the order of the changes, whatever the clocks of the
machines say: no change is noted as earlier than what it comes after.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit, calendars, chains, due_times, revisions, run_requests, runs, stored
from db.closures import Entries
from db.errors import StaleVersion, TaskIsDeleted, TaskIsNotDeleted, TaskNameTaken, TaskNotFound
from db.notifications import Topic, notify, of
from db.revisions import Change
from db.specs import AnyTask, FieldError, InvalidTask, as_document, check_against_clock
from db.states import WAITING_STATES, Missed
from db.tables import Revision, Task, TaskStatus

SCHEDULE_FIELDS = ("schedule", "starts_at", "ends_at")


def create_task(session: Session, spec: AnyTask, *, actor: str, now: datetime) -> UUID:
    """A new task at version 1.

    Raises:
        InvalidTask: it would never run.
        TaskNameTaken: another task has the name.
    """
    spec = calendars.followed_by(session, spec)
    check_against_clock(spec, now=now)
    chains.check(session, spec, task_id=None)
    task = Task(id=uuid4(), spec=as_document(spec), version=1, created_at=now, updated_at=now)
    session.add(task)
    _flush(session, spec.name)
    session.add(TaskStatus(task_id=task.id, wanted_version=task.version))
    session.flush()
    due_times.rewrite(session, task.id, spec, version=1, now=now, catch_past=True)
    _record(session, task, change=Change.CREATED, actor=actor, now=now)
    return task.id


def replace_task(
    session: Session, task_id: UUID, spec: AnyTask, *, seen_version: int, actor: str, now: datetime
) -> None:
    """The whole task replaced, if it still has the version that was seen.

    Raises:
        TaskNotFound, TaskIsDeleted, StaleVersion, TaskNameTaken, InvalidTask.
    """
    task = _lock_live(session, task_id)
    if task.version != seen_version:
        raise StaleVersion(seen=seen_version, current_version=task.version)
    _replace(session, task, spec, actor=actor, now=now)


def rollback_task(session: Session, task_id: UUID, *, version: int, actor: str, now: datetime) -> None:
    """The task as it was at an earlier version, as a new one; a pause stays as it is.

    Raises:
        TaskNotFound, TaskIsDeleted, TaskNameTaken.
        InvalidTask: there is no such version, or it would never run any more.
    """
    task = _lock_live(session, task_id)
    earlier = session.get(Revision, (task_id, version))
    if earlier is None:
        message = f"There is no such version. The task has versions 1 to {task.version}."
        raise InvalidTask([FieldError(field="version", message=message)])
    spec = stored.sound({**earlier.spec, "paused": task.paused})
    _replace(session, task, spec, actor=actor, now=now, details={"rolled_back_to": version})


def _replace(
    session: Session,
    task: Task,
    spec: AnyTask,
    *,
    actor: str,
    now: datetime,
    calendar: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """`calendar` is the name of the one that changed, where nobody changed the task: its end may have passed."""
    spec = calendars.followed_by(session, spec)
    before = stored.read(task.spec)
    rescheduled = before.broken is not None or _rescheduled(before.task, spec)
    if rescheduled and calendar is None:
        check_against_clock(spec, now=now)
    chains.check(session, spec, task_id=task.id)
    now = _moment(session, task, now=now)
    due_times.complete(session, task, now=now)
    if not spec.paused:
        _end_pause(session, task, now=now)
    _apply(session, task, as_document(spec), now=now)
    if rescheduled:
        due_times.rewrite(session, task.id, spec, version=task.version, now=now, catch_past=True)
    details = details if calendar is None else {"calendar": calendar}
    _record(session, task, change=Change.EDITED, actor=actor, now=now, details=details)


def change_calendar(
    session: Session, name: str, entries: Entries, *, seen_version: int | None, actor: str, now: datetime
) -> int:
    """What a calendar says from now on; how many tasks have a new version for it.

    Raises:
        CalendarNotFound, CalendarChanged.
    """
    calendars.write(session, name, entries, seen_version=seen_version, actor=actor, now=now)
    followers = select(Task.id).where(calendars.follows(name), Task.deleted_at.is_(None)).order_by(Task.id)
    task_ids = session.scalars(followers).all()
    for task_id in task_ids:
        task = _lock(session, task_id)
        found = stored.read(task.spec)
        # One that is broken gets what its calendars say when somebody mends it.
        if task.deleted_at is None and found.broken is None:
            _replace(session, task, found.task, actor=actor, now=now, calendar=name)
    return len(task_ids)


def pause_task(
    session: Session, task_id: UUID, *, reason: str = "", until: datetime | None = None, actor: str, now: datetime
) -> None:
    """Not due until it is resumed, or until an instant. Pausing a paused task changes the reason.

    Raises:
        TaskNotFound, TaskIsDeleted.
    """
    task = _lock_live(session, task_id)
    now = _moment(session, task, now=now)
    _apply(session, task, {**task.spec, "paused": True}, now=now)
    task.pause_reason, task.paused_until = reason or None, until
    details = {"reason": reason, "until": until.isoformat() if until else None}
    _record(session, task, change=Change.PAUSED, actor=actor, now=now, details=details)


def resume_task(session: Session, task_id: UUID, *, missed: Missed = Missed.NONE, actor: str, now: datetime) -> None:
    """Due again from now on, and for what passed during the pause; nothing happens to a task that is not paused.

    Raises:
        TaskNotFound, TaskIsDeleted.
    """
    task = _lock_live(session, task_id)
    if not task.paused:
        return
    now = _moment(session, task, now=now)
    due_times.complete(session, task, now=now)
    _end_pause(session, task, now=now)
    due_times.reopen(session, task.id, paused_at=revisions.paused_since(session, task.id), missed=missed)
    _apply(session, task, {**task.spec, "paused": False}, now=now)
    _record(session, task, change=Change.RESUMED, actor=actor, now=now, details={"missed": missed})


def resume_if_over(session: Session, task_id: UUID, *, actor: str, now: datetime) -> None:
    """Resumes the task, if its pause is over and nobody else has changed that."""
    task = session.scalar(select(Task).where(Task.id == task_id, *_is_over(now)).with_for_update(key_share=True))
    if task is not None:
        resume_task(session, task_id, actor=actor, now=now)


def delete_task(session: Session, task_id: UUID, *, actor: str, now: datetime) -> None:
    """Into the trash: it stops being due at once; what waits is cancelled, what runs finishes.

    Raises:
        TaskNotFound, TaskIsDeleted.
    """
    task = _lock_live(session, task_id)
    now = _moment(session, task, now=now)
    due_times.complete(session, task, now=now)
    task.deleted_at = now
    _next_version(session, task, now=now)
    due_times.withdraw(session, task.id, now=now)
    due_times.cancel_overdue(session, task.id, now=now)
    run_requests.refuse_open(session, task.id, why="Its task was deleted.", now=now)
    runs.request_cancel_of_task(session, task.id, states=WAITING_STATES, now=now)
    _record(session, task, change=Change.DELETED, actor=actor, now=now)


def restore_task(session: Session, task_id: UUID, *, actor: str, now: datetime) -> None:
    """Out of the trash: due again from now on.

    Raises:
        TaskNotFound, TaskIsNotDeleted, TaskNameTaken.
    """
    task = _lock(session, task_id)
    if task.deleted_at is None:
        raise TaskIsNotDeleted(task.name)
    now = _moment(session, task, now=now)
    found = stored.read(task.spec)
    task.deleted_at = None
    if found.broken is not None:  # it cannot be mended in the trash
        _apply(session, task, task.spec, now=now)
    else:
        spec = calendars.followed_by(session, found.task)
        chains.check(session, spec, task_id=task.id)
        _apply(session, task, as_document(spec), now=now)
        due_times.rewrite(session, task.id, spec, version=task.version, now=now, catch_past=False)
    _record(session, task, change=Change.RESTORED, actor=actor, now=now)


def lock_version(session: Session, task_id: UUID) -> int:
    """The task's version, which nobody else changes before this transaction ends.

    Raises:
        TaskNotFound.
    """
    return _lock(session, task_id).version


def _lock(session: Session, task_id: UUID) -> Task:
    query = select(Task).where(Task.id == task_id).with_for_update(key_share=True)
    # What this session read of it before the lock may be old.
    task = session.scalar(query.execution_options(populate_existing=True))
    if task is None:
        raise TaskNotFound(task_id)
    return task


def _lock_live(session: Session, task_id: UUID) -> Task:
    task = _lock(session, task_id)
    if task.deleted_at is not None:
        raise TaskIsDeleted(task.name)
    return task


def _moment(session: Session, task: Task, *, now: datetime) -> datetime:
    """The instant of a change that is made now, while the task is locked.

    It is later than the change before and than the due times that a worker with a faster clock has claimed.
    """
    return max(now, task.updated_at, due_times.newest_claimed(session, task.id, after=now) or now)


def _apply(session: Session, task: Task, document: dict[str, Any], *, now: datetime) -> None:
    task.spec = document
    _next_version(session, task, now=now)


def _next_version(session: Session, task: Task, *, now: datetime) -> None:
    task.version, task.updated_at = task.version + 1, now
    _flush(session, task.spec.get("name", task.name))
    status = update(TaskStatus).where(TaskStatus.task_id == task.id)
    session.execute(status.values(wanted_version=task.version))


def _end_pause(session: Session, task: Task, *, now: datetime) -> None:
    """What passed during the pause stays skipped; the due times from its end on are due."""
    if task.paused:
        due_times.skip_paused(session, task.id, before=min(now, task.paused_until or now), now=now)
    task.pause_reason = task.paused_until = None


def _flush(session: Session, name: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        diagnostics = getattr(error.orig, "diag", None)
        if diagnostics is not None and diagnostics.constraint_name == "tasks_name_taken":
            raise TaskNameTaken(name) from None
        raise


def _rescheduled(before: AnyTask, after: AnyTask) -> bool:
    return any(getattr(before, field) != getattr(after, field) for field in SCHEDULE_FIELDS)


def _record(
    session: Session, task: Task, *, change: Change, actor: str, now: datetime, details: dict[str, Any] | None = None
) -> None:
    revisions.record(session, task, change=change, actor=actor, at=now)
    audit.record(session, at=now, actor=actor, change=f"task.{change}", task=task, details=details)
    notify(session, [Topic.SYNC, Topic.TASKS, of(Topic.TASKS, task.id)])


def task_by_name(session: Session, name: str) -> UUID | None:
    """The id of the task that has the name now."""
    return session.scalar(select(Task.id).where(Task.name == name, Task.deleted_at.is_(None)))


def tags_of(session: Session, task_id: UUID) -> Sequence[str]:
    """The tags that the task has now.

    Raises:
        TaskNotFound.
    """
    tags: Sequence[str] | None = session.scalar(select(Task.spec["tags"]).where(Task.id == task_id))
    if tags is None:
        raise TaskNotFound(task_id)
    return tags


def due_to_resume(session: Session, *, now: datetime) -> Sequence[UUID]:
    """The tasks whose pause is over."""
    return session.scalars(select(Task.id).where(*_is_over(now))).all()


def _is_over(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return Task.paused.is_(True), Task.paused_until <= now, Task.deleted_at.is_(None)

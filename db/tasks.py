"""Tasks: the commands that change them and the queries that show them.

Every change is one transaction: the task with its new version, the revision, the audit entry, the due times that follow
from it, and a hint to whoever looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Select, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit, due_times, revisions, runs
from db.errors import BadCursor, StaleVersion, TaskIsDeleted, TaskIsNotDeleted, TaskNameTaken, TaskNotFound
from db.notifications import Topic, notify, of
from db.pages import Page, decode_cursor, encode_cursor
from db.revisions import Change
from db.specs import AnyTask, as_document, check_against_clock, parse_task
from db.states import ACTIVE_STATES, Kind, RunState
from db.tables import Run, Task, TaskStatus

SCHEDULE_FIELDS = ("schedule", "starts_at", "ends_at")
PROBLEM_STATES = (RunState.FAILED, RunState.CRASHED, RunState.TIMED_OUT)


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as it is shown: what was asked for, and what is known of it."""

    id: UUID
    version: int
    spec: AnyTask
    pause_reason: str | None
    paused_until: datetime | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    synced_version: int | None
    sync_error: str | None
    deployment_id: UUID | None
    next_due_at: datetime | None
    last_run: Run | None

    @property
    def deployed(self) -> bool:
        """Whether Prefect has this very version."""
        return self.synced_version == self.version


class TaskFilter(StrEnum):
    """The states that a list of tasks can be narrowed to."""

    ACTIVE = "active"
    PAUSED = "paused"
    RUNNING = "running"
    FAILED = "failed"
    DELETED = "deleted"


def create_task(session: Session, spec: AnyTask, *, actor: str, now: datetime) -> UUID:
    """A new task at version 1.

    Raises:
        InvalidTask: it would never run.
        TaskNameTaken: another task has the name.
    """
    check_against_clock(spec, now=now)
    task = Task(id=uuid4(), spec=as_document(spec), version=1, created_at=now, updated_at=now)
    session.add(task)
    _flush(session, spec.name)
    session.add(TaskStatus(task_id=task.id))
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
    rescheduled = _rescheduled(parse_task(task.spec), spec)
    if rescheduled:
        check_against_clock(spec, now=now)
    if not spec.paused:
        task.pause_reason = task.paused_until = None
    _apply(session, task, spec, now=now)
    if rescheduled:
        due_times.rewrite(session, task.id, spec, version=task.version, now=now, catch_past=True)
    _record(session, task, change=Change.EDITED, actor=actor, now=now)


def pause_task(
    session: Session, task_id: UUID, *, reason: str = "", until: datetime | None = None, actor: str, now: datetime
) -> None:
    """Not due until it is resumed, or until an instant. Pausing a paused task changes the reason.

    Raises:
        TaskNotFound, TaskIsDeleted.
    """
    task = _lock_live(session, task_id)
    _apply(session, task, _with_paused(task, paused=True), now=now)
    task.pause_reason, task.paused_until = reason or None, until
    details = {"reason": reason, "until": until.isoformat() if until else None}
    _record(session, task, change=Change.PAUSED, actor=actor, now=now, details=details)


def resume_task(session: Session, task_id: UUID, *, actor: str, now: datetime) -> None:
    """Due again from now on; nothing happens to a task that is not paused.

    Raises:
        TaskNotFound, TaskIsDeleted.
    """
    task = _lock_live(session, task_id)
    if not task.spec["paused"]:
        return
    task.pause_reason = task.paused_until = None
    _apply(session, task, _with_paused(task, paused=False), now=now)
    _record(session, task, change=Change.RESUMED, actor=actor, now=now)


def delete_task(session: Session, task_id: UUID, *, actor: str, now: datetime) -> None:
    """Into the trash: it stops being due at once; what runs finishes.

    Raises:
        TaskNotFound, TaskIsDeleted.
    """
    task = _lock_live(session, task_id)
    task.deleted_at, task.updated_at, task.version = now, now, task.version + 1
    session.flush()
    due_times.withdraw(session, task.id, now=now)
    due_times.cancel_overdue(session, task.id, now=now)
    _record(session, task, change=Change.DELETED, actor=actor, now=now)


def restore_task(session: Session, task_id: UUID, *, actor: str, now: datetime) -> None:
    """Out of the trash: due again from now on.

    Raises:
        TaskNotFound, TaskIsNotDeleted, TaskNameTaken.
    """
    task = _lock(session, task_id)
    if task.deleted_at is None:
        raise TaskIsNotDeleted(task.spec["name"])
    task.deleted_at, task.updated_at, task.version = None, now, task.version + 1
    _flush(session, task.spec["name"])
    due_times.rewrite(session, task.id, parse_task(task.spec), version=task.version, now=now, catch_past=False)
    _record(session, task, change=Change.RESTORED, actor=actor, now=now)


def _lock(session: Session, task_id: UUID) -> Task:
    task = session.scalar(select(Task).where(Task.id == task_id).with_for_update(key_share=True))
    if task is None:
        raise TaskNotFound(task_id)
    return task


def _lock_live(session: Session, task_id: UUID) -> Task:
    task = _lock(session, task_id)
    if task.deleted_at is not None:
        raise TaskIsDeleted(task.spec["name"])
    return task


def _apply(session: Session, task: Task, spec: AnyTask, *, now: datetime) -> None:
    task.spec, task.version, task.updated_at = as_document(spec), task.version + 1, now
    _flush(session, spec.name)


def _flush(session: Session, name: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        diagnostics = getattr(error.orig, "diag", None)
        if diagnostics is not None and diagnostics.constraint_name == "tasks_name_taken":
            raise TaskNameTaken(name) from None
        raise


def _with_paused(task: Task, *, paused: bool) -> AnyTask:
    return parse_task({**task.spec, "paused": paused})


def _rescheduled(before: AnyTask, after: AnyTask) -> bool:
    return any(getattr(before, field) != getattr(after, field) for field in SCHEDULE_FIELDS)


def _record(
    session: Session, task: Task, *, change: Change, actor: str, now: datetime, details: dict[str, Any] | None = None
) -> None:
    revisions.record(session, task, change=change, actor=actor, at=now)
    audit.record(session, at=now, actor=actor, change=f"task.{change}", task=task, details=details)
    notify(session, [Topic.SYNC, Topic.TASKS, of(Topic.TASKS, task.id)])


def get_task(session: Session, task_id: UUID, *, now: datetime) -> TaskView:
    """The task, also when it is in the trash.

    Raises:
        TaskNotFound.
    """
    row = session.execute(_views().where(Task.id == task_id)).first()
    if row is None:
        raise TaskNotFound(task_id)
    return _view(row.Task, row.TaskStatus, runs.get_many(session, _last_runs([row])), now=now)


def task_by_name(session: Session, name: str) -> UUID | None:
    """The id of the task that has the name now."""
    return session.scalar(select(Task.id).where(Task.name == name, Task.deleted_at.is_(None)))


def list_tasks(
    session: Session,
    *,
    search: str = "",
    tag: str | None = None,
    kind: Kind | None = None,
    state: TaskFilter | None = None,
    limit: int = 50,
    cursor: str | None = None,
    now: datetime,
) -> Page[TaskView]:
    """A page of tasks in order of name, without the trash unless `state` is `deleted`.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    query = _views().where(*_conditions(search=search, tag=tag, kind=kind, state=state))
    if cursor is not None:
        name, task_id = decode_cursor(cursor, keys=2)
        query = query.where(tuple_(Task.name, Task.id) > tuple_(literal(name), literal(_uuid(task_id))))
    rows = session.execute(query.order_by(Task.name, Task.id).limit(limit + 1)).all()
    shown = rows[:limit]
    last_runs = runs.get_many(session, _last_runs(shown))
    items = [_view(row.Task, row.TaskStatus, last_runs, now=now) for row in shown]
    more = len(rows) > limit
    return Page(items, encode_cursor(items[-1].spec.name, str(items[-1].id)) if more else None)


def count_tasks(
    session: Session,
    *,
    search: str = "",
    tag: str | None = None,
    kind: Kind | None = None,
    state: TaskFilter | None = None,
) -> int:
    """How many tasks the same filters of `list_tasks` find."""
    query = select(func.count()).select_from(Task).join(TaskStatus, TaskStatus.task_id == Task.id)
    return session.scalar(query.where(*_conditions(search=search, tag=tag, kind=kind, state=state))) or 0


def list_tags(session: Session, *, limit: int = 200) -> Sequence[str]:
    """The tags in use, in order."""
    tags = func.jsonb_array_elements_text(Task.spec["tags"]).label("tag")
    query = select(tags).where(Task.deleted_at.is_(None)).distinct().order_by("tag").limit(limit)
    return session.scalars(query).all()


def due_to_resume(session: Session, *, now: datetime) -> Sequence[UUID]:
    """The tasks whose pause is over."""
    return session.scalars(
        select(Task.id).where(Task.paused, Task.paused_until <= now, Task.deleted_at.is_(None))
    ).all()


def _views() -> Select[tuple[Task, TaskStatus]]:
    return select(Task, TaskStatus).join(TaskStatus, TaskStatus.task_id == Task.id)


def _conditions(
    *, search: str, tag: str | None, kind: Kind | None, state: TaskFilter | None
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [_in_state(state)]
    if search.strip():
        found.append(Task.name.ilike(f"%{_literally(search.strip())}%", escape="\\"))
    if tag:
        found.append(Task.spec["tags"].op("@>")(literal([tag], JSONB)))
    if kind is not None:
        found.append(Task.kind == kind)
    return found


def _in_state(state: TaskFilter | None) -> ColumnElement[bool]:
    live = Task.deleted_at.is_(None)
    match state:
        case TaskFilter.DELETED:
            return Task.deleted_at.is_not(None)
        case TaskFilter.PAUSED:
            return live & Task.paused
        case TaskFilter.ACTIVE:
            return live & ~Task.paused
        case TaskFilter.RUNNING:
            return live & TaskStatus.last_state.in_(ACTIVE_STATES)
        case TaskFilter.FAILED:
            return live & or_(TaskStatus.last_state.in_(PROBLEM_STATES), TaskStatus.sync_error.is_not(None))
        case _:
            return live


def _literally(search: str) -> str:
    return search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_").replace("\0", "")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadCursor from None


def _last_runs(rows: Sequence[Any]) -> list[tuple[UUID, datetime]]:
    return [(row.TaskStatus.last_run_id, row.TaskStatus.last_due_at) for row in rows if row.TaskStatus.last_run_id]


def _view(task: Task, status: TaskStatus, last_runs: dict[UUID, Run], *, now: datetime) -> TaskView:
    spec = parse_task(task.spec)
    dormant = task.deleted_at is not None or spec.paused
    return TaskView(
        id=task.id,
        version=task.version,
        spec=spec,
        pause_reason=task.pause_reason,
        paused_until=task.paused_until,
        created_at=task.created_at,
        updated_at=task.updated_at,
        deleted_at=task.deleted_at,
        synced_version=status.synced_version,
        sync_error=status.sync_error,
        deployment_id=status.deployment_id,
        next_due_at=None if dormant else due_times.first_after(spec, now=now),
        last_run=last_runs.get(status.last_run_id) if status.last_run_id else None,
    )

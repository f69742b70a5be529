"""Tasks as they are shown: one with what is known of it, and pages of them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    DateTime,
    Row,
    Select,
    Text,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute, Session

from db import due_times, runs, stored
from db.arrays import in_rows
from db.errors import BadCursor, TaskNotFound
from db.pages import Page, decode_cursor, encode_cursor
from db.plans import plan_for_values
from db.specs import AnyTask
from db.states import ACTIVE_STATES, Kind, RunState
from db.tables import Run, Task, TaskStatus, TaskTag

log = logging.getLogger(__name__)

# As the index has it: with the word as a parameter PostgreSQL would not know it again.
_TAGS: ColumnClause[Any] = literal_column("tasks.spec -> 'tags'", JSONB)
_last_run_at: ColumnClause[datetime] = literal_column("coalesce(last_due_at, '-infinity'::timestamptz)")
_work_pool: ColumnElement[str] = literal_column("(tasks.spec ->> 'work_pool')", Text)
NEVER = "-infinity"
"""When a task that never ran ran last."""
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
    broken: str | None = None
    """Why it cannot be read; then `spec` has what can be read of it, and is not to be saved."""
    document: Any = None
    """As it is stored."""

    @property
    def sound(self) -> AnyTask:
        """The task, for whoever goes on to save what it says.

        Raises:
            InvalidTask: it is broken.
        """
        return self.spec if self.broken is None else stored.sound(self.document)

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


class TaskOrder(StrEnum):
    """The orders of a list of tasks: by name, or the newest first."""

    NAME = "name"
    LAST_RUN = "last run"
    CHANGE = "last change"


def get_task(session: Session, task_id: UUID, *, now: datetime) -> TaskView:
    """The task, also when it is in the trash.

    Raises:
        TaskNotFound.
    """
    row = session.execute(_views().where(Task.id == task_id)).first()
    if row is None:
        raise TaskNotFound(task_id)
    return _view(row.Task, row.TaskStatus, runs.get_many(session, _last_runs([row])), now=now)


def list_tasks(
    session: Session,
    *,
    search: str = "",
    tag: str | None = None,
    kind: Kind | None = None,
    pool: str | None = None,
    state: TaskFilter | None = None,
    order: TaskOrder = TaskOrder.NAME,
    limit: int = 50,
    cursor: str | None = None,
    now: datetime,
) -> Page[TaskView]:
    """A page of tasks, without the trash unless `state` is `deleted`.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    plan_for_values(session)
    keys = _found(search=search, tag=tag, kind=kind, pool=pool, state=state, of_status=order is TaskOrder.LAST_RUN)
    if cursor is not None:
        keys = keys.where(_after(order, decode_cursor(cursor, keys=2)))
    # Which they are is read from an index alone, and only those from the tables.
    page = keys.order_by(*_ORDERED[order]).limit(limit + 1).subquery("page")
    query = _views().join(page, page.c.id == Task.id).order_by(*_ORDERED[order])
    rows = session.execute(query).all()
    shown = rows[:limit]
    last_runs = runs.get_many(session, _last_runs(shown))
    items = [_view(row.Task, row.TaskStatus, last_runs, now=now) for row in shown]
    return Page(items, _cursor(order, shown[-1]) if len(rows) > limit else None)


_ORDERED: Mapping[TaskOrder, Sequence[ColumnElement[Any]]] = {
    TaskOrder.NAME: (Task.name.asc(), Task.id.asc()),
    TaskOrder.LAST_RUN: (_last_run_at.desc(), TaskStatus.task_id.desc()),
    TaskOrder.CHANGE: (Task.updated_at.desc(), Task.id.desc()),
}


def _after(order: TaskOrder, cursor: Sequence[str]) -> ColumnElement[bool]:
    """What comes after the task that the cursor is of."""
    key, task_id = cursor[0], literal(_uuid(cursor[1]))
    match order:
        case TaskOrder.NAME:
            return tuple_(Task.name, Task.id) > tuple_(literal(key), task_id)
        case TaskOrder.LAST_RUN:
            return tuple_(_last_run_at, TaskStatus.task_id) < tuple_(_instant(key), task_id)
        case TaskOrder.CHANGE:
            return tuple_(Task.updated_at, Task.id) < tuple_(_instant(key), task_id)


def _cursor(order: TaskOrder, row: Row[tuple[Task, TaskStatus]]) -> str:
    match order:
        case TaskOrder.NAME:
            key = row.Task.name
        case TaskOrder.LAST_RUN:
            key = row.TaskStatus.last_due_at.isoformat() if row.TaskStatus.last_due_at else NEVER
        case TaskOrder.CHANGE:
            key = row.Task.updated_at.isoformat()
    return encode_cursor(key, str(row.Task.id))


def _instant(text: str) -> ColumnElement[datetime]:
    if text == NEVER:
        return cast(literal(NEVER, Text), DateTime(timezone=True))
    try:
        return literal(datetime.fromisoformat(text), DateTime(timezone=True))
    except ValueError:
        raise BadCursor from None


def count_tasks(
    session: Session,
    *,
    search: str = "",
    tag: str | None = None,
    kind: Kind | None = None,
    pool: str | None = None,
    state: TaskFilter | None = None,
    at_most: int | None = None,
) -> int:
    """How many tasks the same filters of `list_tasks` find; with `at_most`, one more than that stands for more."""
    plan_for_values(session)
    found = _found(search=search, tag=tag, kind=kind, pool=pool, state=state)
    if at_most is not None:
        found = found.limit(at_most + 1)
    return session.scalar(select(func.count()).select_from(found.subquery())) or 0


def list_tags(session: Session, *, limit: int = 200) -> Sequence[str]:
    """The tags in use, in order."""
    return _distinct(session, TaskTag.tag, limit=limit)


def list_pools(session: Session, *, limit: int = 200) -> Sequence[str]:
    """The work pools that tasks name, in order."""
    return _distinct(session, _work_pool, Task.deleted_at.is_(None), limit=limit)


def _distinct(
    session: Session, value: ColumnElement[str] | InstrumentedAttribute[str], *where: ColumnElement[bool], limit: int
) -> Sequence[str]:
    """From one to the next in their index, however many tasks have the same."""
    first = select(func.min(value).label("value")).where(*where).cte("found", recursive=True)
    following = select(func.min(value)).where(*where, value > first.c.value)
    found = first.union_all(select(following.correlate(first).scalar_subquery()).where(first.c.value.is_not(None)))
    return session.scalars(select(found.c.value).where(found.c.value.is_not(None)).limit(limit)).all()


def _views() -> Select[tuple[Task, TaskStatus]]:
    return select(Task, TaskStatus).join(TaskStatus, TaskStatus.task_id == Task.id)


def find_ids(
    session: Session,
    *,
    search: str = "",
    tag: str | None = None,
    kind: Kind | None = None,
    pool: str | None = None,
    state: TaskFilter | None = None,
    at_most: int,
) -> Sequence[UUID]:
    """The ids of the tasks that the same filters of `list_tasks` find, in order of name."""
    plan_for_values(session)
    found = _found(search=search, tag=tag, kind=kind, pool=pool, state=state)
    return session.scalars(found.order_by(Task.name, Task.id).limit(at_most)).all()


def names(session: Session) -> Sequence[str]:
    """Of all tasks that are not in the trash."""
    return session.scalars(select(Task.name).where(Task.deleted_at.is_(None))).all()


def get_specs(session: Session, task_ids: Sequence[UUID]) -> list[AnyTask]:
    """What is asked for of these tasks, without those that are gone or broken."""
    found = map(stored.read, session.scalars(select(Task.spec).where(in_rows(Task.id, task_ids))))
    return [one.task for one in found if one.broken is None]


def _found(
    *,
    search: str,
    tag: str | None,
    kind: Kind | None,
    pool: str | None,
    state: TaskFilter | None,
    of_status: bool = False,
) -> Select[tuple[UUID]]:
    query = select(Task.id).where(*_conditions(search=search, tag=tag, kind=kind, pool=pool, state=state))
    of_status |= state in (TaskFilter.RUNNING, TaskFilter.FAILED)
    return query.join(TaskStatus, TaskStatus.task_id == Task.id) if of_status else query


def _conditions(
    *, search: str, tag: str | None, kind: Kind | None, pool: str | None, state: TaskFilter | None
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [_in_state(state)]
    if search.strip():
        found.append(Task.name.ilike(f"%{_literally(search.strip())}%", escape="\\"))
    if tag:
        found.append(_TAGS.op("@>")(literal([tag], JSONB)))
    if kind is not None:
        found.append(Task.kind == kind)
    if pool:
        found.append(_work_pool == pool)
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
    found = stored.read(task.spec, name=task.name)
    dormant = task.deleted_at is not None or found.task.paused or found.broken is not None
    return TaskView(
        id=task.id,
        version=task.version,
        spec=found.task,
        pause_reason=task.pause_reason,
        paused_until=task.paused_until,
        created_at=task.created_at,
        updated_at=task.updated_at,
        deleted_at=task.deleted_at,
        synced_version=status.synced_version,
        sync_error=status.sync_error,
        deployment_id=status.deployment_id,
        next_due_at=None if dormant else _next_due(found.task, now=now),
        last_run=last_runs.get(status.last_run_id) if status.last_run_id else None,
        broken=found.broken,
        document=task.spec,
    )


def _next_due(spec: AnyTask, *, now: datetime) -> datetime | None:
    """A list is not kept from being shown by one schedule that cannot be evaluated."""
    try:
        return due_times.first_after(spec, now=now)
    except Exception:
        log.exception("When a task is due next cannot be told")
        return None

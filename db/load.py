"""What is going to be due, of all tasks at once: their schedules, each read once however many tasks have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Text, func, literal_column, select
from sqlalchemy.orm import Session

from db.plans import plan_for_values
from db.tables import Run, Task, TaskStatus

_CRON = literal_column("(tasks.spec -> 'schedule' ->> 'cron')", Text)
_ZONE = literal_column("(tasks.spec -> 'schedule' ->> 'timezone')", Text)
_AT = literal_column("(tasks.spec -> 'schedule' ->> 'at')", Text)
_BOUNDED: ColumnElement[bool] = literal_column(
    "((tasks.spec ->> 'starts_at') IS NOT NULL OR (tasks.spec ->> 'ends_at') IS NOT NULL"
    " OR (tasks.spec -> 'schedule' -> 'closed') IS NOT NULL)",
    Boolean,
)
_IN_FORCE = (Task.deleted_at.is_(None), ~Task.paused)
MOST_ALONE = 5000
"""One-shots and tasks with bounds or calendars are looked at one by one."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A cron schedule, how many tasks have it, and how long their last runs took on average, in seconds."""

    cron: str
    timezone: str
    tasks: int
    took_seconds: float | None


@dataclass(frozen=True, slots=True)
class Alone:
    """A task whose due times are its own."""

    spec: dict[str, Any]
    took_seconds: float | None


@dataclass(frozen=True, slots=True)
class Sharer:
    """A task that is due with others."""

    id: UUID
    version: int
    name: str
    cron: str
    timezone: str


def shared(session: Session) -> list[Shared]:
    """The schedules of all tasks that are not paused, without those that begin or end or have calendars."""
    plan_for_values(session)
    query = (
        select(_CRON, _ZONE, func.count(), _took())
        .select_from(Task)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .outerjoin(Run, _is_last_run())
        .where(*_IN_FORCE, _CRON.is_not(None), ~_BOUNDED)
        .group_by(_CRON, _ZONE)
    )
    return [Shared(cron, zone, count, _seconds(took)) for cron, zone, count, took in session.execute(query)]


def alone(session: Session, *, begin: datetime, end: datetime, limit: int = MOST_ALONE) -> list[Alone]:
    """One-shots that are due between two instants, and tasks whose schedule begins, ends or has calendars."""
    plan_for_values(session)
    once = (begin.isoformat() <= _AT) & (end.isoformat() > _AT)  # in UTC, as documents have them
    query = (
        select(Task.spec, _took())
        .select_from(Task)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .outerjoin(Run, _is_last_run())
        .where(*_IN_FORCE, (_CRON.is_not(None) & _BOUNDED) | once)
        .group_by(Task.id)
        .limit(limit)
    )
    return [Alone(spec, _seconds(took)) for spec, took in session.execute(query)]


def _is_last_run() -> Any:
    # Both columns are the key of a run, so each is looked for in its own month only.
    return (Run.id == TaskStatus.last_run_id) & (Run.due_at == TaskStatus.last_due_at)


def _took() -> Any:
    return func.avg(func.extract("epoch", Run.ended_at - Run.started_at))


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def sharers(session: Session, schedules: Sequence[tuple[str, str]], *, limit: int = 200) -> list[Sharer]:
    """The tasks that have one of these schedules, in order of name; a schedule is a cron and its zone."""
    if not schedules:
        return []
    plan_for_values(session)
    pair = func.concat(_CRON, " ", _ZONE)
    query = (
        select(Task.id, Task.version, Task.name, _CRON, _ZONE)
        .where(*_IN_FORCE, pair.in_([f"{cron} {zone}" for cron, zone in schedules]))
        .order_by(Task.name, Task.id)
        .limit(limit)
    )
    return [Sharer(*row) for row in session.execute(query)]

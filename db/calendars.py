"""Calendars: when it is closed, said once for all tasks that follow them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from db import audit, stored
from db.closures import Entries, as_documents
from db.errors import CalendarChanged, CalendarInUse, CalendarNotFound, NameTaken
from db.notifications import Topic, notify
from db.specs import (
    AnySchedule,
    AnyTask,
    CronSchedule,
    closed_by,
    parse_entries,
    schedule_closed_by,
)
from db.tables import Calendar, Task


@dataclass(frozen=True, slots=True)
class Listed:
    """A calendar, and how many tasks follow it, those in the trash included."""

    name: str
    entries: Entries
    version: int
    updated_at: datetime
    updated_by: str
    used_by: int
    broken: str | None = None
    """Why its entries cannot be read."""


def add(session: Session, name: str, entries: Entries, *, actor: str, now: datetime) -> None:
    """A calendar that nobody follows yet.

    Raises:
        NameTaken.
    """
    if session.get(Calendar, name) is not None:
        raise NameTaken(name)
    row = Calendar(name=name, entries=as_documents(entries), version=1, updated_at=now, updated_by=actor)
    session.add(row)
    session.flush()
    _tell(session, row, "calendar.added", actor=actor, now=now)


def write(
    session: Session, name: str, entries: Entries, *, seen_version: int | None, actor: str, now: datetime
) -> None:
    """What it says from now on, for tasks that are saved from now on; `seen_version` None is whichever it has.

    Raises:
        CalendarNotFound.
        CalendarChanged: somebody else changed it since that version.
    """
    row = session.get(Calendar, name, with_for_update=True, populate_existing=True)
    if row is None:
        raise CalendarNotFound(name)
    if seen_version not in (None, row.version):
        raise CalendarChanged(name)
    before = row.entries
    row.entries, row.version = as_documents(entries), row.version + 1
    row.updated_at, row.updated_by = now, actor
    session.flush()
    _tell(session, row, "calendar.changed", actor=actor, now=now, before=before)


def remove(session: Session, name: str, *, actor: str, now: datetime) -> None:
    """Raises:
    CalendarNotFound.
    CalendarInUse: tasks follow it, be it in the trash.
    """
    row = session.get(Calendar, name, with_for_update=True, populate_existing=True)
    if row is None:
        raise CalendarNotFound(name)
    if used := _used_by(session, [name])[name]:
        raise CalendarInUse(name, used)
    session.execute(delete(Calendar).where(Calendar.name == name))
    _tell(session, row, "calendar.removed", actor=actor, now=now, before=row.entries)


def _tell(session: Session, row: Calendar, change: str, *, actor: str, now: datetime, **details: Any) -> None:
    audit.record(session, at=now, actor=actor, change=change, details={"calendar": row.name, **details})
    notify(session, [Topic.TASKS])


def list_calendars(session: Session) -> Sequence[Listed]:
    """In order of name."""
    rows = session.scalars(select(Calendar).order_by(func.lower(Calendar.name), Calendar.name)).all()
    used = _used_by(session, [row.name for row in rows])
    return [_listed(row, used[row.name]) for row in rows]


def get_calendar(session: Session, name: str) -> Listed:
    """Raises:
    CalendarNotFound.
    """
    row = session.get(Calendar, name)
    if row is None:
        raise CalendarNotFound(name)
    return _listed(row, _used_by(session, [name])[name])


def _listed(row: Calendar, used_by: int) -> Listed:
    known = (row.version, row.updated_at, row.updated_by, used_by)
    try:
        return Listed(row.name, parse_entries(row.entries), *known)
    except Exception as error:  # noqa: BLE001 - whatever is stored there, the others are listed
        return Listed(row.name, (), *known, stored.why(error))


def follows(name: str) -> Any:
    """Whether a task follows the calendar."""
    return Task.spec["schedule"]["calendars"].contains([name])


def _used_by(session: Session, names: Sequence[str]) -> Mapping[str, int]:
    return {name: session.scalar(select(func.count()).where(follows(name))) or 0 for name in names}


def entries_of(session: Session, names: Sequence[str]) -> Mapping[str, Entries]:
    """What these say, as far as they are there; none of them is changed before this transaction ends."""
    rows = session.scalars(
        select(Calendar)
        .where(Calendar.name.in_(names))
        .order_by(Calendar.name)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    return {row.name: parse_entries(row.entries) for row in rows}


def followed_by(session: Session, task: AnyTask) -> AnyTask:
    """The task with what its calendars say.

    Raises:
        InvalidTask: one of them is not there.
    """
    return closed_by(task, _wanted_by(session, task.schedule))


def schedule_followed_by(session: Session, schedule: AnySchedule) -> AnySchedule:
    """The same of a schedule alone.

    Raises:
        InvalidTask: a calendar is not there.
    """
    return schedule_closed_by(schedule, _wanted_by(session, schedule))


def _wanted_by(session: Session, schedule: AnySchedule) -> Mapping[str, Entries]:
    names = schedule.calendars if isinstance(schedule, CronSchedule) else []
    return entries_of(session, names) if names else {}

"""What the schedule in a form means, before it is saved: in words, the due times to come, what may surprise. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.forms import once_at
from dashboard.moments import day, time_of_day
from dashboard.wall_times import comes_twice, is_skipped, parse_time, parse_wall
from db.closures import Closed, Entries, OnClosed
from db.schedule_words import NEVER_OPEN, in_words, warnings
from db.schedules import Cron, Once, ScheduleError, check_cron, check_movable, next_due_times

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Preview:
    """`error` says why there is nothing else."""

    words: str = ""
    due_at: tuple[datetime, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    comes_twice: bool = False
    """Whether a one-time schedule still has to say which of two moments it means."""
    is_past: bool = False


def preview(fields: Mapping[str, Any], *, now: datetime, calendars: Mapping[str, Entries] | None = None) -> Preview:
    """Of the fields of a form; what cannot be read is an error, in a sentence."""
    match fields["schedule_kind"]:
        case "cron":
            return _cron(fields, now, calendars or {})
        case "once":
            return _once(fields, now)
        case _:
            return Preview("Only when started by hand")


def _cron(fields: Mapping[str, Any], now: datetime, calendars: Mapping[str, Entries]) -> Preview:
    if not fields["cron"].strip():
        return Preview(error="Write when it is due, or choose one of the examples.")
    try:
        schedule = Cron(check_cron(fields["cron"]), fields["timezone"], _closed(fields, calendars))
        if schedule.closed is not None and schedule.closed.then is not OnClosed.SKIP:
            check_movable(schedule.cron)
    except ScheduleError as error:
        return Preview(error=str(error))
    starts_at, ends_at = (_bound(fields, name) for name in ("starts_at", "ends_at"))
    due_at = tuple(next_due_times(schedule, after=now, count=SHOWN, starts_at=starts_at, ends_at=ends_at))
    notes = [*_warnings(schedule, now.replace(hour=0, minute=0, second=0, microsecond=0))]
    if not due_at:
        never = NEVER_OPEN if schedule.closed else "It is never due."
        bounded = starts_at is not None or ends_at is not None
        notes.append("It is never due between its start and its end." if bounded else never)
    return Preview(in_words(schedule), due_at, tuple(notes))


def _closed(fields: Mapping[str, Any], calendars: Mapping[str, Entries]) -> Closed | None:
    entries = tuple(entry for name in fields["calendars"] for entry in calendars.get(name, ()))
    return Closed(entries, OnClosed(fields["on_closed"])) if entries else None


def _bound(fields: Mapping[str, Any], name: str) -> datetime | None:
    try:
        return parse_wall(fields[name], fields["timezone"]) if fields[name].strip() else None
    except ValueError:
        return None  # said at its own field


# Looks at a year of due times, and is asked again at every keystroke; the same answer is right all day.
@lru_cache(maxsize=512)
def _warnings(schedule: Cron, today: datetime) -> tuple[str, ...]:
    return tuple(warnings(schedule, now=today))


def _once(fields: Mapping[str, Any], now: datetime) -> Preview:
    try:
        at = once_at(fields)
    except ValueError as error:
        return Preview(error=str(error))
    zone = fields["timezone"]
    wall = datetime.combine(fields["once_date"], parse_time(fields["once_time"]))
    notes = []
    if is_skipped(wall, zone):
        notes.append(f"The clock jumps over {wall:%H:%M} on that day: it runs at {time_of_day(at, zone)}.")
    if twice := comes_twice(wall, zone):
        notes.append(f"The clock shows {wall:%H:%M} twice on that day: say which one you mean.")
    words = f"Once, {day(at, zone)} {at.astimezone(ZoneInfo(zone)):%Y}, {time_of_day(at, zone)}, {zone}"
    past = at <= now
    return Preview(words, () if past else (at,), tuple(notes), comes_twice=twice, is_past=past)


def same_moment(fields: Mapping[str, Any], schedule: Mapping[str, Any] | None) -> bool:
    """Whether a one-time schedule still is what it was before."""
    if schedule is None or "at" not in schedule:
        return False
    try:
        return once_at(fields) == Once(datetime.fromisoformat(schedule["at"])).at
    except ValueError:
        return False

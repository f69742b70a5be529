"""Instants and durations as people read them. Pure: no clock, no network, no database.

An instant is shown in one zone, and says in its title what it is there and in UTC; pages let it tick.
"""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from db.specs import AnyTask, CronSchedule

MINUTE, HOUR, DAY = 60, 3600, 86400


def zone_of(task: AnyTask, *, otherwise: str) -> str:
    """The zone that a task's times are told in: its own where its schedule has one."""
    return task.schedule.timezone if isinstance(task.schedule, CronSchedule) else otherwise


def day(at: datetime, zone: str) -> str:
    """`Tue 24 Nov`."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %d %b}"


def time_of_day(at: datetime, zone: str, *, precise: bool = False) -> str:
    """`06:00`, with seconds only where there are some, or `06:00:00.312`."""
    local = at.astimezone(ZoneInfo(zone))
    if precise:
        return f"{local:%H:%M:%S.%f}"[:-3]
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"


def clock(at: datetime, zone: str) -> str:
    """`Tue 24 Nov, 06:00`."""
    return f"{day(at, zone)}, {time_of_day(at, zone)}"


def in_full(at: datetime, zone: str) -> str:
    """The instant in the zone and in UTC, to the second."""
    local = f"{at.astimezone(ZoneInfo(zone)):%a %d %b %Y, %H:%M:%S} {zone}"
    return local if zone == "UTC" else f"{local}\n{at.astimezone(UTC):%a %d %b %Y, %H:%M:%S} UTC"


def moment(at: datetime | None, zone: str) -> dict[str, Any] | None:
    """An instant for a cell that ticks."""
    return None if at is None else {"at": round(at.timestamp() * 1000), "title": in_full(at, zone)}


def span(seconds: float | None) -> str:
    """`340 ms`, `1.5 s`, `2 m 03 s`, `1 h 02 m`, `3 d 4 h`; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if seconds < HOUR:
        return f"{whole // MINUTE} m {whole % MINUTE:02d} s"
    if seconds < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} m"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def took(started_at: datetime | None, ended_at: datetime | None) -> dict[str, Any] | None:
    """How long a run took, for a cell that ticks while it runs; None before the start."""
    if started_at is None:
        return None
    if ended_at is None:
        return {"at": round(started_at.timestamp() * 1000)}
    return {"text": span((ended_at - started_at).total_seconds())}

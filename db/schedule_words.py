"""Schedules as people read them: in words, and what may surprise about them. Pure.

Nothing here raises for a schedule that was accepted: words that say less are right, a page that is broken is not.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, islice, pairwise
from zoneinfo import ZoneInfo

from cron_descriptor import Options, get_description
from croniter import croniter

from db.closures import OnClosed
from db.schedules import (
    ALIASES,
    MINUTE,
    UNITS,
    Cron,
    Manual,
    Once,
    Schedule,
    closing,
    due_times,
    end_of_gap,
    is_fixed_time,
    moved_to,
)

NEVER_OPEN = "Its calendars are closed whenever it is due."
DST_LOOKAHEAD = timedelta(days=396)
WARNINGS_LOOK_AT = 1000
_STEP = re.compile(r"/(\d{1,200})\Z")


def in_words(schedule: Schedule) -> str:
    """The schedule as a person says it, with its zone, such as `Every day at 02:00, Europe/Berlin`."""
    match schedule:
        case Manual():
            return "Only when started by hand"
        case Once(at=at):
            return f"Once, {at.astimezone(UTC):%a %d %b %Y, %H:%M:%S} UTC"
        case Cron(cron=cron, timezone=timezone, closed=closed):
            return f"{_cron_in_words(cron)}, {timezone}{f', {ON_CLOSED[closed.then]}' if closed else ''}"


ON_CLOSED = {
    OnClosed.SKIP: "not on closed days",
    OnClosed.NEXT: "on the next open day where it is closed",
    OnClosed.PREVIOUS: "on the last open day before where it is closed",
}


@lru_cache(maxsize=4096)
def _cron_in_words(cron: str) -> str:
    options = Options()
    options.use_24hour_time_format = True
    fields = ALIASES.get(cron, cron).split(" ")
    if _steps_too_far(fields):
        return cron
    seconds_first = " ".join([fields[-1], *fields[:-1]] if len(fields) == 6 else fields)
    try:
        words = str(get_description(seconds_first.upper(), options))
    except Exception:  # noqa: BLE001 - the words are a courtesy: any expression that fires is shown as it is
        return cron
    if fields[2:5] == ["*", "*", "*"] and words.startswith("At ") and ":" in words and "," not in words:
        return f"Every day at {words.removeprefix('At ')}"
    return words


def warnings(schedule: Schedule, *, now: datetime) -> list[str]:
    """What may surprise about this schedule within the next 13 months, in sentences; the first four of each kind."""
    if isinstance(schedule, Once):
        return ["This moment has passed."] if schedule.at <= now else []
    if isinstance(schedule, Manual):
        return []
    return [*_clock_warnings(schedule, now=now), *_closed_warnings(schedule, now=now)]


def _closed_warnings(schedule: Cron, *, now: datetime) -> list[str]:
    if schedule.closed is None:
        return []
    upcoming = islice(due_times(schedule, after=now, ends_at=now + DST_LOOKAHEAD), WARNINGS_LOOK_AT)
    return list(islice((_closed_in_words(schedule, at) for at in upcoming if closing(schedule, at) is not None), 4))


def _closed_in_words(schedule: Cron, at: datetime) -> str:
    zone = ZoneInfo(schedule.timezone)
    name, moved = closing(schedule, at), moved_to(schedule, at)
    why = f"closed ({name})" if name else "closed"
    what = f"it runs on {moved.astimezone(zone):%a %d %b %Y} instead" if moved else "it does not run"
    return f"{at.astimezone(zone):%a %d %b %Y, %H:%M}: {why}, {what}."


def _clock_warnings(schedule: Cron, *, now: datetime) -> list[str]:
    fields = ALIASES.get(schedule.cron, schedule.cron).split(" ")
    if not is_fixed_time(schedule.cron):
        return _steps_too_far(fields)
    zone, every_day = ZoneInfo(schedule.timezone), replace(schedule, closed=None)
    around = (
        islice(due_times(every_day, after=max(now, at - before), ends_at=at + MINUTE), WARNINGS_LOOK_AT)
        for at, before in _clock_changes(zone, now=now)
    )
    upcoming = (at for at in chain.from_iterable(around) if closing(schedule, at) is None)
    sentences = (_clock_change(schedule.cron, at.astimezone(zone)) for at in upcoming)
    return list(islice(filter(None, sentences), 4))


def _clock_changes(zone: ZoneInfo, *, now: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """The instants within 13 months at which the clock is set, and how long before them it shows what comes again."""
    days = [now + timedelta(days=number) for number in range(DST_LOOKAHEAD.days + 1)]
    for day, next_day in pairwise(days):
        was, will_be = (at.astimezone(zone).utcoffset() or timedelta() for at in (day, next_day))
        if was != will_be:
            yield end_of_gap(day, next_day, zone), max(was - will_be, timedelta()) + timedelta(microseconds=1)


def _steps_too_far(fields: list[str]) -> list[str]:
    """A sentence for each step, such as `*/90` of minutes, that its field begins again before."""
    return [
        f"{part} counts within {most} {unit} and then begins again: it is no rhythm of {int(step[1])} {unit}."
        for field, (most, unit) in zip(fields, UNITS, strict=False)
        for part in field.split(",")
        if (step := _STEP.search(part)) and int(step[1]) > most
    ]


def _clock_change(cron: str, local: datetime) -> str:
    """A sentence where the change of the clock moves or repeats this due time, else nothing."""
    if local.replace(fold=1).utcoffset() != local.replace(fold=0).utcoffset():
        return f"{local:%a %d %b %Y}: {local:%H:%M} comes twice, it runs on the first pass only."
    if not croniter.match(cron, local.replace(tzinfo=None)):
        return f"{local:%a %d %b %Y}: the clock jumps over this time, it runs at {local:%H:%M}, the next valid instant."
    return ""

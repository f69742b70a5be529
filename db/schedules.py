"""When a task is due: pure values and pure functions, no clock, no network, no database.

Cron is evaluated here, in the task's time zone, and nowhere else. In the gap of spring a due time moves to the next
valid instant; in the fold of autumn a fixed-time schedule fires on the first pass only and an every-n schedule on both.

Where a calendar is closed a schedule is due all the same, so that the ledger can say that it was; `open_due_times`
leaves these out. Where they move to another day, it is due there, too.
"""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from heapq import heappop, heappush
from itertools import chain, islice, takewhile
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter
from croniter.croniter import CroniterBadDateError, CroniterError

from db.closures import MOVED_BY_AT_MOST, Closed, OnClosed

# A leap day comes back on the same weekday after 28 years, and after 40 over a century that has none.
NEVER_AFTER_YEARS = 41
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MAX_CRON = 200
MINUTE = timedelta(minutes=1)
MOVED_A_DAY = 24
"""What is due more often than so is not moved to another day."""
REACH = timedelta(days=MOVED_BY_AT_MOST + 1)
CLOSED_IN_A_ROW = 1000
CLOSED_FOR = timedelta(days=5 * 366)
"""After so many closed due times without an open one, or after this long, a schedule counts as closed for ever."""
LEAPS_AT_MOST = 10
"""Where due times move, a leap over more than a month that is closed is as much work as that month."""
LAST_YEAR = 9990
"""The calendar ends in 9999; what moves, or is closed, looks some days further."""
UNITS = ((60, "minutes"), (24, "hours"), (31, "days"), (12, "months"), (7, "weekdays"), (60, "seconds"))
"""How many each field of an expression goes through before it begins again."""


class ScheduleError(ValueError):
    """A schedule that cannot be followed. `field` names the part that is wrong; the message says the cure."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Cron:
    """Due whenever the expression matches the wall clock of the time zone."""

    cron: str
    timezone: str = "UTC"
    closed: Closed | None = None


@dataclass(frozen=True, slots=True)
class Once:
    """Due at one instant."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Manual:
    """Never due by itself."""


Schedule = Cron | Once | Manual


@lru_cache(maxsize=1)
def time_zones() -> frozenset[str]:
    """The names that a schedule may use."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


@lru_cache(maxsize=10_000)
def check_cron(expression: str) -> str:
    """The expression with its white space folded.

    Raises:
        ScheduleError: it has another number of fields, is out of range, or never fires.
    """
    folded = " ".join(expression.split())
    if len(folded) > MAX_CRON:
        raise ScheduleError("cron", f"A cron expression has at most {MAX_CRON} characters.")
    if folded.startswith("@"):
        if folded.lower() not in ALIASES:
            raise ScheduleError("cron", f"Unknown alias {folded!r}. Use one of {', '.join(sorted(ALIASES))}.")
        return folded.lower()
    fields = folded.split(" ")
    if len(fields) not in (5, 6):
        raise ScheduleError(
            "cron", "A cron expression has five fields (minute hour day month weekday), or six: seconds last."
        )
    _refuse_extensions(fields)
    try:
        first = next(_instants(Cron(folded), datetime(2024, 1, 1, tzinfo=UTC)), None)
    except (CroniterError, ValueError, KeyError) as error:
        raise ScheduleError("cron", f"Not a valid cron expression: {error}.") from None
    if first is None:
        raise ScheduleError("cron", "This expression never fires: no calendar has such a day.")
    return folded


def _refuse_extensions(fields: list[str]) -> None:
    """Prefect's own parser knows neither hashed or random fields nor nearest weekdays."""
    if any(field.upper().startswith(("H", "R")) for field in fields):
        raise ScheduleError("cron", "Hashed (H) and random (R) fields are not supported. Write the minute itself.")
    if "W" in fields[2].upper():
        raise ScheduleError("cron", "The nearest-weekday form (W) is not supported. Name the days or weekdays.")


def check_zone(name: str) -> str:
    """The name itself.

    Raises:
        ScheduleError: the time zone database has no such zone.
    """
    if name not in time_zones():
        raise ScheduleError("timezone", f"Unknown time zone {name!r}. Use a name such as Europe/Berlin or UTC.")
    return name


def check_movable(expression: str) -> None:
    """What moves to another day is due at few times of a day.

    Raises:
        ScheduleError: this is not.
    """
    minutes, hours, seconds = (_count(expression, field) for field in ("minutes", "hours", "seconds"))
    if minutes * hours * seconds > MOVED_A_DAY:
        raise ScheduleError("on_closed", f"What is due more than {MOVED_A_DAY} times a day can only be skipped.")


def _count(expression: str, unit: str) -> int:
    """How many values the field of this unit has."""
    place, most = next((place, most) for place, (most, name) in enumerate(UNITS) if name == unit)
    fields = croniter.expand(ALIASES.get(expression, expression))[0]
    if place >= len(fields):
        return 1
    return most if "*" in fields[place] else len(fields[place])


def by_minutes(schedule: Schedule) -> tuple[Schedule, int]:
    """The schedule of the minutes in which this one is due, and how often it is in each: nobody counts seconds."""
    if not isinstance(schedule, Cron) or len(fields := schedule.cron.split(" ")) < 6:
        return schedule, 1
    return replace(schedule, cron=" ".join(fields[:5])), _count(schedule.cron, "seconds")


def due_times(
    schedule: Schedule, *, after: datetime, starts_at: datetime | None = None, ends_at: datetime | None = None
) -> Iterator[datetime]:
    """Every due time later than `after`, in order, as aware UTC; within [starts_at, ends_at] where they are given."""
    if isinstance(schedule, Manual):
        return
    if isinstance(schedule, Once):
        times: Iterator[datetime] = iter([schedule.at.astimezone(UTC)] if schedule.at > after else [])
    else:
        # One microsecond before the start, because due times are later than `after` but not before the start.
        first = after if starts_at is None else max(after, starts_at - timedelta(microseconds=1))
        times = _and_moved(schedule, first) if _moves(schedule) else _instants(schedule, first)
    for at in times:
        if ends_at is not None and at > ends_at:
            return
        if starts_at is None or at >= starts_at:
            yield at


def open_due_times(
    schedule: Schedule, *, after: datetime, starts_at: datetime | None = None, ends_at: datetime | None = None
) -> Iterator[datetime]:
    """As `due_times`, without those at which a calendar is closed.

    It ends where the schedule counts as closed for ever, or takes too many leaps: the work is bounded.
    """
    closed_in_a_row, leaps, closed_since = 0, 0, None
    while leaps <= LEAPS_AT_MOST:
        for at in due_times(schedule, after=after, starts_at=starts_at, ends_at=ends_at):
            if closing(schedule, at) is None:
                closed_in_a_row, closed_since = 0, None
                yield at
                continue
            closed_since = closed_since or at
            closed_in_a_row += 1
            after = _end_of_closing(schedule, at)
            if after - closed_since > CLOSED_FOR or closed_in_a_row >= CLOSED_IN_A_ROW:
                return
            if _is_worth_a_leap(schedule, at, after):
                leaps += _moves(schedule)
                break
        else:
            return


def next_due_times(
    schedule: Schedule,
    *,
    after: datetime,
    count: int,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> list[datetime]:
    """At most `count` due times later than `after` at which no calendar is closed; fewer where the schedule ends."""
    return list(islice(open_due_times(schedule, after=after, starts_at=starts_at, ends_at=ends_at), count))


def is_due_at(
    schedule: Schedule, at: datetime, *, starts_at: datetime | None = None, ends_at: datetime | None = None
) -> bool:
    """Whether the schedule is due at exactly this instant."""
    just_before = at - timedelta(microseconds=1)
    return next(due_times(schedule, after=just_before, starts_at=starts_at, ends_at=ends_at), None) == at


def closing(schedule: Schedule, at: datetime) -> str | None:
    """The name of what is closed at an instant, which may be empty; None where the schedule's calendars are open."""
    if not isinstance(schedule, Cron) or schedule.closed is None:
        return None
    entry = schedule.closed.at(_wall(schedule, at))
    return None if entry is None else entry.name


def moved_to(schedule: Schedule, at: datetime) -> datetime | None:
    """Where a due time at which a calendar is closed has gone; None where it is not run."""
    if not isinstance(schedule, Cron) or schedule.closed is None:
        return None
    zone, wall = ZoneInfo(schedule.timezone), schedule.closed.moved(_wall(schedule, at))
    return None if wall is None else next(_passes(iter([wall]), zone, every_hour=False, fixed=True), None)


def _wall(schedule: Cron, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(schedule.timezone)).replace(tzinfo=None)


def _end_of_closing(schedule: Schedule, at: datetime) -> datetime:
    """An instant that is not before this one, and before all that is due when the calendar is open again."""
    assert isinstance(schedule, Cron)
    assert schedule.closed is not None
    end = schedule.closed.opens(_wall(schedule, at)).replace(tzinfo=ZoneInfo(schedule.timezone))
    return max(at, end.astimezone(UTC) - timedelta(microseconds=1))


def _is_worth_a_leap(schedule: Schedule, at: datetime, end: datetime) -> bool:
    """Whether to begin anew at the end of what is closed; where due times move, it begins `REACH` before that."""
    return end > at + (REACH if _moves(schedule) else timedelta())


def _moves(schedule: Schedule) -> bool:
    return isinstance(schedule, Cron) and schedule.closed is not None and schedule.closed.then is not OnClosed.SKIP


def _and_moved(schedule: Cron, after: datetime) -> Iterator[datetime]:
    """The instants of the expression, and those to which some of them move, in order."""
    assert schedule.closed is not None
    forward = schedule.closed.then is OnClosed.NEXT
    waiting, last = list[datetime](), after.astimezone(UTC)
    # What moves forward comes from before; what moves back comes from later.
    behind = timedelta() if forward else REACH
    for at in chain(_instants(schedule, after - REACH if forward else after), [None]):
        if at is not None:
            heappush(waiting, at)
            if closing(schedule, at) is not None and (moved := moved_to(schedule, at)) is not None:
                heappush(waiting, moved)
        while waiting and (at is None or waiting[0] <= at - behind):
            if (next_one := heappop(waiting)) > last:
                last = next_one
                yield next_one


def _instants(schedule: Cron, after: datetime) -> Iterator[datetime]:
    zone, last = ZoneInfo(schedule.timezone), after.astimezone(UTC)
    walls = _wall_times(schedule.cron, _before(after, zone))
    for at in _passes(walls, zone, every_hour=_is_every_hour(schedule.cron), fixed=is_fixed_time(schedule.cron)):
        if at > last:
            last = at
            yield at


def _before(after: datetime, zone: ZoneInfo) -> datetime:
    """A time on the wall, from which on all that may come to be due later than this instant is found."""
    local = after.astimezone(zone)
    wall, a_minute_ago = (at.replace(tzinfo=None) for at in (local, (after - MINUTE).astimezone(zone)))
    if wall - a_minute_ago > MINUTE:
        return a_minute_ago  # it jumped, and what moved with its seconds is due within a minute
    second_pass = local.replace(fold=1).astimezone(UTC) - local.replace(fold=0).astimezone(UTC)
    return wall - second_pass


def _wall_times(cron: str, after: datetime) -> Iterator[datetime]:
    """The times, without a zone, that the expression matches. croniter finds them; its own zones lose due times."""
    matches = croniter(cron, after, ret_type=datetime, max_years_between_matches=NEVER_AFTER_YEARS)
    with suppress(CroniterBadDateError, ValueError, OverflowError):  # there is no such day, or the calendar has ended
        yield from takewhile(lambda wall: wall.year <= LAST_YEAR, iter(partial(matches.get_next, datetime), None))


def _passes(walls: Iterator[datetime], zone: ZoneInfo, *, every_hour: bool, fixed: bool) -> Iterator[datetime]:
    """The instants at which the clock shows these times, in order."""
    again: list[datetime] = []
    for wall in walls:
        try:
            first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        except OverflowError:
            return  # in UTC the calendar has ended
        if first < second:  # the clock shows it twice
            yield first
            again += [] if fixed else [second]
            continue
        yield from again
        again = []
        if first == second:
            yield first
        elif not every_hour:  # the clock never shows it
            yield end_of_gap(second, first, zone) + timedelta(seconds=wall.second)


def end_of_gap(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """The instant between these at which the clock has jumped, to the second."""
    before = earlier.astimezone(zone).utcoffset()
    seconds = range(int((later - earlier).total_seconds()) + 1)

    def has_jumped(second: int) -> bool:
        return (earlier + timedelta(seconds=second)).astimezone(zone).utcoffset() != before

    return earlier + timedelta(seconds=bisect_left(seconds, True, key=has_jumped))


def _is_every_hour(cron: str) -> bool:
    return ALIASES.get(cron, cron).split(" ")[1] in ("*", "*/1")


def is_fixed_time(cron: str) -> bool:
    """Whether both minute and hour name clock times, as `30 2`, rather than a rhythm, as `*/15` or `* 2`."""
    return not any("*" in field or "/" in field for field in ALIASES.get(cron, cron).split(" ")[:2])

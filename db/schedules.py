"""When a task is due: pure values and pure functions, no clock, no network, no database.

Cron is evaluated here, in the task's time zone, and nowhere else. In the gap of spring a due time moves to the next
valid instant; in the fold of autumn a fixed-time schedule fires on the first pass only and an every-n schedule on both.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from cron_descriptor import Options, get_description
from croniter import croniter
from croniter.croniter import CroniterBadDateError, CroniterError

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
MINUTE = timedelta(minutes=1)
DST_LOOKAHEAD = timedelta(days=396)
WARNINGS_LOOK_AT = 1000
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
        times = _instants(schedule, first)
    for at in times:
        if ends_at is not None and at > ends_at:
            return
        if starts_at is None or at >= starts_at:
            yield at


def next_due_times(
    schedule: Schedule,
    *,
    after: datetime,
    count: int,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> list[datetime]:
    """At most `count` due times later than `after`; fewer where the schedule ends."""
    return list(islice(due_times(schedule, after=after, starts_at=starts_at, ends_at=ends_at), count))


def is_due_at(
    schedule: Schedule, at: datetime, *, starts_at: datetime | None = None, ends_at: datetime | None = None
) -> bool:
    """Whether the schedule is due at exactly this instant."""
    just_before = at - timedelta(microseconds=1)
    return next(due_times(schedule, after=just_before, starts_at=starts_at, ends_at=ends_at), None) == at


def _instants(schedule: Cron, after: datetime) -> Iterator[datetime]:
    zone, last = ZoneInfo(schedule.timezone), after.astimezone(UTC)
    walls = _wall_times(schedule.cron, _before(after, zone))
    for at in _passes(walls, zone, every_hour=_is_every_hour(schedule.cron), fixed=_is_fixed_time(schedule.cron)):
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
    while True:
        try:
            yield matches.get_next(datetime)
        except (CroniterBadDateError, ValueError, OverflowError):
            return  # there is no such day, or the calendar has ended


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
            yield _end_of_gap(second, first, zone) + timedelta(seconds=wall.second)


def _end_of_gap(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """The instant between these at which the clock has jumped, to the second."""
    before = earlier.astimezone(zone).utcoffset()
    seconds = range(int((later - earlier).total_seconds()) + 1)

    def has_jumped(second: int) -> bool:
        return (earlier + timedelta(seconds=second)).astimezone(zone).utcoffset() != before

    return earlier + timedelta(seconds=bisect_left(seconds, True, key=has_jumped))


def _is_every_hour(cron: str) -> bool:
    return ALIASES.get(cron, cron).split(" ")[1] in ("*", "*/1")


def _is_fixed_time(cron: str) -> bool:
    """Whether both minute and hour name clock times, as `30 2`, rather than a rhythm, as `*/15` or `* 2`."""
    return not any("*" in field or "/" in field for field in ALIASES.get(cron, cron).split(" ")[:2])


def in_words(schedule: Schedule) -> str:
    """The schedule as a person says it, with its zone, such as `Every day at 02:00, Europe/Berlin`."""
    match schedule:
        case Manual():
            return "Only when started by hand"
        case Once(at=at):
            return f"Once, {at.astimezone(UTC):%a %d %b %Y, %H:%M:%S} UTC"
        case Cron(cron=cron, timezone=timezone):
            return f"{_cron_in_words(cron)}, {timezone}"


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
    """What may surprise about this schedule within the next 13 months, in sentences; the first four."""
    if isinstance(schedule, Once):
        return ["This moment has passed."] if schedule.at <= now else []
    if isinstance(schedule, Manual):
        return []
    fields = ALIASES.get(schedule.cron, schedule.cron).split(" ")
    if not _is_fixed_time(schedule.cron):
        return _steps_too_far(fields)
    zone = ZoneInfo(schedule.timezone)
    upcoming = islice(due_times(schedule, after=now, ends_at=now + DST_LOOKAHEAD), WARNINGS_LOOK_AT)
    sentences = (_clock_change(schedule.cron, at.astimezone(zone)) for at in upcoming)
    return list(islice(filter(None, sentences), 4))


def _steps_too_far(fields: list[str]) -> list[str]:
    """A sentence for each step, such as `*/90` of minutes, that its field begins again before."""
    return [
        f"{field} counts within {most} {unit} and then begins again: it is no rhythm of {step} {unit}."
        for field, (most, unit) in zip(fields, UNITS, strict=False)
        if (step := field.rpartition("/")[2]) != field and int(step) > most
    ]


def _clock_change(cron: str, local: datetime) -> str:
    """A sentence where the change of the clock moves or repeats this due time, else nothing."""
    if local.replace(fold=1).utcoffset() != local.replace(fold=0).utcoffset():
        return f"{local:%a %d %b %Y}: {local:%H:%M} comes twice, it runs on the first pass only."
    if not croniter.match(cron, local.replace(tzinfo=None)):
        return f"{local:%a %d %b %Y}: the clock jumps over this time, it runs at {local:%H:%M}, the next valid instant."
    return ""

"""Times as a clock on the wall shows them, in a zone, and the instants that they mean. Pure."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


def instant(wall: datetime, zone: str, *, second_pass: bool = False) -> datetime:
    """The instant of a wall time: the next valid one where the clock jumps over it, the first pass where it comes twice
    and nobody asks for the second."""
    local = wall.replace(tzinfo=ZoneInfo(zone), fold=int(second_pass and comes_twice(wall, zone)))
    while _round_trip(local) != local.replace(tzinfo=None):
        local = local.replace(second=0, microsecond=0) + MINUTE
    return local.astimezone(UTC)


def is_skipped(wall: datetime, zone: str) -> bool:
    """Whether the clock jumps over this time in spring."""
    return _round_trip(wall.replace(tzinfo=ZoneInfo(zone), fold=0)) != wall


def comes_twice(wall: datetime, zone: str) -> bool:
    """Whether the clock shows this time twice in autumn."""
    both = {wall.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() for fold in (0, 1)}
    return len(both) == 2 and not is_skipped(wall, zone)


def _round_trip(local: datetime) -> datetime:
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None)


def next_full_hour(now: datetime) -> datetime:
    """Later than now by an hour at most."""
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def wall_text(at: datetime, zone: str) -> str:
    """`2026-12-01 10:00`, as exact as it needs to be; with the offset where only that tells which of two it is."""
    local = at.astimezone(ZoneInfo(zone))
    text = f"{local.date()} {time_text(local.time())}"
    return f"{text}{local.isoformat()[len(local.replace(tzinfo=None).isoformat()) :]}" if local.fold else text


def time_text(clock: time) -> str:
    """`10:00`, or `10:00:30`, or `10:00:30.5`."""
    if clock.microsecond:
        return f"{clock:%H:%M:%S.%f}".rstrip("0")
    return f"{clock:%H:%M:%S}" if clock.second else f"{clock:%H:%M}"


def parse_wall(text: str, zone: str) -> datetime:
    """The instant that `2026-12-01 10:00` means in the zone; an offset in the text counts more than the zone.

    Raises:
        ValueError: it is no such text.
    """
    try:
        wall = datetime.fromisoformat(_with_digits(text.strip()))
        return instant(wall, zone) if wall.tzinfo is None else wall
    except (ValueError, OverflowError):
        raise ValueError("Write it as 2026-12-01 10:00.") from None


def parse_once(day: date | None, text: str, zone: str, *, second_pass: bool = False) -> datetime:
    """The instant of a day and a time of day.

    Raises:
        ValueError: one of them is missing or not readable.
    """
    if day is None:
        raise ValueError("Choose a day.")
    return instant(datetime.combine(day, parse_time(text)), zone, second_pass=second_pass)


def parse_time(text: str) -> time:
    """A time of day such as `9:30`, `10:00` or `10:00:30.5`.

    Raises:
        ValueError: it is no such text.
    """
    digits = text.strip()
    try:
        found = time.fromisoformat(_with_digits(f"0{digits}" if digits[1:2] == ":" else digits))
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None or ":" not in digits:
        raise ValueError("Write the time as 10:00 or 10:00:30.")
    return found


def _with_digits(text: str) -> str:
    """Python 3.11 reads fractions of three or six digits only."""
    whole, point, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return f"{whole}.{digits[:6]:0<6}{rest[len(digits) :]}" if point and digits else text

"""What a calendar says, a line for each entry, to be read and written by people. Pure.

`2026-12-24`, `2026-12-24 14:00 to 2026-12-26 Christmas`, `every year 12-25 Christmas Day`, `every sat, sun Weekend`,
`every sun 22:00 to 04:00 Maintenance`.
"""

import re
from collections.abc import Iterable
from datetime import date, time

from pydantic import ValidationError

from dashboard.field_texts import lines
from db.closures import WEEKDAYS, Dates, Entries, Weekly

LEAP_YEAR = 2000
"""What stands for every year."""
_TIME = r"\d\d:\d\d"
_DAY = r"(?:\d{4}-)?\d\d-\d\d"
_DAYS = "|".join(WEEKDAYS)
_DATES = re.compile(
    rf"(?P<yearly>every year )?(?P<first>{_DAY})(?: (?P<begins>{_TIME}))?"
    rf"(?: to(?: (?P<last>{_DAY}))?(?: (?P<ends>{_TIME}))?)?(?: (?P<name>.*))?\Z"
)
_WEEKLY = re.compile(
    rf"every (?P<days>(?:{_DAYS})(?:(?: |, ?)(?:{_DAYS}))*)"
    rf"(?: (?P<begins>{_TIME}) to (?P<ends>{_TIME}))?(?: (?P<name>.*))?\Z"
)
HOW = "Write a day such as 2026-12-24, `every year 12-25`, or `every sat, sun`; then the name."


def write(entries: Iterable[Dates | Weekly]) -> str:
    """A line for each."""
    return "\n".join(_line(entry) for entry in entries)


def _line(entry: Dates | Weekly) -> str:
    if isinstance(entry, Weekly):
        times = f"{entry.begins:%H:%M} to {entry.ends:%H:%M}" if entry.begins is not None else ""
        words = ["every", ", ".join(entry.days), times, entry.name]
    else:
        last = _day(entry.last, yearly=entry.yearly) if entry.last not in (None, entry.first) else ""
        ends = f"{entry.ends:%H:%M}" if entry.ends else ""
        begin = ["every year" if entry.yearly else "", _day(entry.first, yearly=entry.yearly)]
        words = [*begin, f"{entry.begins:%H:%M}" if entry.begins else "", "to" if last or ends else "", last, ends]
        words.append(entry.name)
    return " ".join(word for word in words if word)


def _day(day: date | None, *, yearly: bool) -> str:
    assert day is not None
    return f"{day:%m-%d}" if yearly else day.isoformat()


def read(text: str) -> Entries:
    """The entries of such lines.

    Raises:
        ValueError: says which line is wrong, and how it is written.
    """
    return tuple(_entry(number, " ".join(line.split())) for number, line in lines(text))


def _entry(number: int, line: str) -> Dates | Weekly:
    try:
        if weekly := _WEEKLY.match(line):
            days = tuple(day for day in WEEKDAYS if day in re.split(r"[ ,]+", weekly["days"]))
            return Weekly(
                days=days, begins=_time(weekly["begins"]), ends=_time(weekly["ends"]), name=weekly["name"] or ""
            )
        if dates := _DATES.match(line):
            return _dates(dates)
    except ValidationError as error:
        raise ValueError(f"Line {number}: {error.errors()[0]['msg']}") from None
    except ValueError:
        raise ValueError(f"Line {number}: there is no such day or time.") from None
    raise ValueError(f"Line {number} cannot be read. {HOW}")


def _dates(found: re.Match[str]) -> Dates:
    yearly = bool(found["yearly"])
    first, last = (_date(found[name], yearly=yearly) for name in ("first", "last"))
    if first is None:
        raise ValueError
    if yearly and last is not None and last < first:
        last = last.replace(year=last.year + 1)  # over the end of the year
    begins, ends = _time(found["begins"]), _time(found["ends"])
    return Dates(first=first, last=last, begins=begins, ends=ends, yearly=yearly, name=found["name"] or "")


def _date(text: str | None, *, yearly: bool) -> date | None:
    if text is None:
        return None
    if yearly == (len(text) > len("12-24")):
        raise ValueError  # every year has no year, and a day has one
    return date.fromisoformat(f"{LEAP_YEAR}-{text}" if yearly else text)


def _time(text: str | None) -> time | None:
    return None if text is None else time.fromisoformat(text)

"""When a calendar is closed: dates and weekly windows, on the wall clock of whoever follows it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from db.values import MAX_NAME, Strict, without_nul

DAY = timedelta(days=1)
LONGEST_DATES = timedelta(days=366)
MOVED_BY_AT_MOST = 31
"""Days: what finds no open day within them is not run."""
MAX_ENTRIES = 2000

Label = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(without_nul)]


class OnClosed(StrEnum):
    """What to do with a due time at which a calendar of its task is closed."""

    SKIP = "skip"
    NEXT = "next"
    """At the same time of the next day that is open then."""
    PREVIOUS = "previous"
    """At the same time of the last day before it that was open then."""


class Weekday(StrEnum):
    """In the order of `date.weekday`."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


WEEKDAYS = tuple(Weekday)


def _without_zone(value: time | None) -> time | None:
    if value is not None and value.tzinfo is not None:
        raise PydanticCustomError("zone", "Times have no zone: they are on the wall clock of each task.")
    return value


WallTime = Annotated[time | None, AfterValidator(_without_zone)]


class Dates(Strict):
    """Closed on a day, or from one to another with both of them; `yearly` in every year."""

    kind: Literal["dates"] = "dates"
    first: date
    last: date | None = None
    """Null for one day."""
    begins: WallTime = None
    """Of the first day; null for all of it."""
    ends: WallTime = None
    """Of the last day; null for all of it."""
    yearly: bool = False
    name: Label = ""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        last = self.last or self.first
        if not (self.first.year >= 1971 and last.year <= 9000):
            raise PydanticCustomError("dates", "Use years from 1971 to 9000.")
        begin, end = self._span(self.first)
        if last - self.first >= LONGEST_DATES or end <= begin:
            raise PydanticCustomError("dates", "It must end after it begins, and within a year.")
        return self

    def _span(self, first: date) -> tuple[datetime, datetime]:
        last = first + ((self.last or self.first) - self.first)
        end = datetime.combine(last, self.ends) if self.ends else datetime.combine(last + DAY, time())
        return datetime.combine(first, self.begins or time()), end

    def _spans(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        """Those that a day may be in."""
        firsts = (_in_year(self.first, year) for year in (day.year, day.year - 1)) if self.yearly else [self.first]
        return (self._span(first) for first in firsts if first is not None)

    def touches(self, day: date) -> bool:
        """Whether it is closed at some time of the day."""
        midnight = datetime.combine(day, time())
        return any(begin < midnight + DAY and end > midnight for begin, end in self._spans(day))

    def end(self, wall: datetime) -> datetime | None:
        """When it opens again, where it is closed at this time."""
        return next((end for begin, end in self._spans(wall.date()) if begin <= wall < end), None)


def _in_year(day: date, year: int) -> date | None:
    try:
        return day.replace(year=year)
    except ValueError:
        return None  # a leap day


class Weekly(Strict):
    """Closed on these days of the week, all day or from one time to another, which may be one of the next day."""

    kind: Literal["weekly"] = "weekly"
    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7)]
    begins: WallTime = None
    """Null for all day."""
    ends: WallTime = None
    name: Label = ""

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.begins is None) != (self.ends is None):
            raise PydanticCustomError("weekly", "Say both `begins` and `ends`, or neither for all day.")
        return self

    def touches(self, day: date) -> bool:
        """Whether it may be closed at some time of the day."""
        return self._is_on(day) or (self.begins is not None and self._is_on(day - DAY))

    def _is_on(self, day: date) -> bool:
        return WEEKDAYS[day.weekday()] in self.days

    def end(self, wall: datetime) -> datetime | None:
        """When it opens again, where it is closed at this time."""
        for day in (wall.date(), wall.date() - DAY):
            begin = datetime.combine(day, self.begins or time())
            end = datetime.combine(day, self.ends or time())
            end += DAY if end <= begin else timedelta()
            if self._is_on(day) and begin <= wall < end:
                return end
        return None


Entry = Annotated[Dates | Weekly, Field(discriminator="kind")]
Entries = tuple[Entry, ...]


def as_documents(entries: Entries) -> list[dict[str, Any]]:
    """The JSON documents of entries."""
    return [entry.model_dump(mode="json") for entry in entries]


@dataclass(frozen=True, slots=True)
class Closed:
    """What the calendars of a task say, and what becomes of a due time then."""

    entries: tuple[Dates | Weekly, ...]
    then: OnClosed = OnClosed.SKIP
    _by_day: dict[date, tuple[Dates | Weekly, ...]] = field(default_factory=dict, compare=False, repr=False)

    def at(self, wall: datetime) -> Dates | Weekly | None:
        """Why it is closed at a time; None where it is open."""
        return next((entry for entry in self._on(wall.date()) if entry.end(wall)), None)

    def opens(self, wall: datetime) -> datetime:
        """When what is closed at this time is over, as far as its first entry goes."""
        return next((end for entry in self._on(wall.date()) if (end := entry.end(wall))), wall)

    def moved(self, wall: datetime) -> datetime | None:
        """Where a due time at which it is closed goes; None where it goes nowhere."""
        if self.then is OnClosed.SKIP:
            return None
        step = DAY if self.then is OnClosed.NEXT else -DAY
        days = (wall + number * step for number in range(1, MOVED_BY_AT_MOST + 1))
        return next((day for day in days if self.at(day) is None), None)

    def _on(self, day: date) -> tuple[Dates | Weekly, ...]:
        if day not in self._by_day:
            self._by_day[day] = tuple(entry for entry in self.entries if entry.touches(day))
        return self._by_day[day]

"""When a calendar is closed: dates and weekly windows, on the wall clock of whoever follows it. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from db.values import MAX_NAME, Strict, without_nul

DAY, WEEK = timedelta(days=1), timedelta(days=7)
LONGEST_DATES = timedelta(days=366)
MOVED_BY_AT_MOST = 31
"""Days: what finds no open day within them is not run."""
MAX_ENTRIES = 2000
HOPS = 1000
"""Closed spans in a row that are looked at for the next open time."""
KNOWN_AT_MOST = 10_000

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

    def span_in(self, year: int) -> tuple[datetime, datetime] | None:
        """The span that begins in a year, of one that is closed yearly."""
        try:
            return self._span(self.first.replace(year=year))
        except (ValueError, OverflowError):
            return None  # a leap day in another year, or the end of the calendar

    def span(self) -> tuple[datetime, datetime]:
        """From when to when, the first time."""
        return self._span(self.first)


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

    def spans(self) -> Iterator[tuple[timedelta, timedelta]]:
        """From when to when, since the midnight with which a week begins."""
        begin, end = (_since_midnight(at) for at in (self.begins, self.ends))
        length = end - begin if end > begin else end - begin + DAY
        for day in self.days:
            since = WEEKDAYS.index(day) * DAY + begin
            yield since, since + length
            if since + length > WEEK:
                yield since - WEEK, since + length - WEEK


def _since_midnight(at: time | None) -> timedelta:
    return timedelta() if at is None else datetime.combine(date.min, at) - datetime.combine(date.min, time())


Entry = Annotated[Dates | Weekly, Field(discriminator="kind")]
Entries = tuple[Entry, ...]


def as_documents(entries: Entries) -> list[dict[str, Any]]:
    """The JSON documents of entries."""
    return [entry.model_dump(mode="json") for entry in entries]


T = TypeVar("T", datetime, timedelta)


class _Spans(Generic[T]):
    """Closed spans, found by bisection however many there are."""

    def __init__(self, spans: Iterable[tuple[T, T, Dates | Weekly]]) -> None:
        ordered = sorted(spans, key=lambda span: span[0])
        self._begins: list[T] = [begin for begin, _, _ in ordered]
        # The one of all that have begun that ends last covers a time, if any of them does.
        self._last: list[tuple[T, Dates | Weekly]] = []
        for _, end, entry in ordered:
            is_later = not self._last or end > self._last[-1][0]
            self._last.append((end, entry) if is_later else self._last[-1])
        self._open_at: list[T] = [end for end, _ in self._last]
        for index in range(len(ordered) - 2, -1, -1):
            if self._begins[index + 1] <= self._open_at[index]:
                self._open_at[index] = self._open_at[index + 1]

    def covering(self, at: T) -> tuple[T, Dates | Weekly] | None:
        """The entry of a span that covers this time, and when it, and all that follow without a pause, are over."""
        index = bisect_right(self._begins, at) - 1
        return (self._open_at[index], self._last[index][1]) if index >= 0 and at < self._last[index][0] else None


@dataclass(frozen=True)
class Closed:
    """What the calendars of a task say, and what becomes of a due time then."""

    entries: tuple[Dates | Weekly, ...]
    then: OnClosed = OnClosed.SKIP

    def at(self, wall: datetime) -> Dates | Weekly | None:
        """Why it is closed at a time; None where it is open."""
        found = self._covering(wall)
        return None if found is None else found[1]

    def opens(self, wall: datetime) -> datetime:
        """When what is closed at this time is open again, as far as it is looked at: it is closed until then."""
        begin, end = self._known_closed.get("last", (wall, wall))
        if begin <= wall < end:
            return end
        end = wall
        for _ in range(HOPS):
            found = self._covering(end)
            if found is None:
                break
            end = found[0]
        self._known_closed["last"] = wall, end
        return end

    def moved(self, wall: datetime) -> datetime | None:
        """Where a due time at which it is closed goes; None where it goes nowhere."""
        if self.then is OnClosed.SKIP:
            return None
        step = DAY if self.then is OnClosed.NEXT else -DAY
        days = (wall + number * step for number in range(1, MOVED_BY_AT_MOST + 1))
        return next(filter(self._is_open, days), None)

    def _is_open(self, wall: datetime) -> bool:
        """As `at`, remembered: the days around a due time are those around the next one as well."""
        known = self._known_open.get(wall)
        if known is None:
            if len(self._known_open) >= KNOWN_AT_MOST:
                self._known_open.clear()
            known = self._known_open[wall] = self.at(wall) is None
        return known

    def _covering(self, wall: datetime) -> tuple[datetime, Dates | Weekly] | None:
        week = datetime.combine(wall.date() - wall.weekday() * DAY, time())
        weekly = self._weekly.covering(wall - week)
        found = [
            self._dates.covering(wall),
            self._yearly(wall.year).covering(wall),
            None if weekly is None else (week + weekly[0], weekly[1]),
        ]
        return max((each for each in found if each is not None), key=lambda each: each[0], default=None)

    @cached_property
    def _known_open(self) -> dict[datetime, bool]:
        return {}

    @cached_property
    def _known_closed(self) -> dict[str, tuple[datetime, datetime]]:
        """Since due times are looked at one after the other, what was found for one is right for the next."""
        return {}

    @cached_property
    def _dates(self) -> _Spans[datetime]:
        once = (entry for entry in self.entries if isinstance(entry, Dates) and not entry.yearly)
        return _Spans((*entry.span(), entry) for entry in once)

    @cached_property
    def _weekly(self) -> _Spans[timedelta]:
        weekly = (entry for entry in self.entries if isinstance(entry, Weekly))
        return _Spans((begin, end, entry) for entry in weekly for begin, end in entry.spans())

    @cached_property
    def _yearly_entries(self) -> tuple[Dates, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Dates) and entry.yearly)

    @cached_property
    def _by_year(self) -> dict[int, _Spans[datetime]]:
        return {}

    def _yearly(self, year: int) -> _Spans[datetime]:
        if year not in self._by_year:
            # What began in the year before may reach into this one.
            found = ((entry.span_in(each), entry) for entry in self._yearly_entries for each in (year - 1, year))
            self._by_year[year] = _Spans((*span, entry) for span, entry in found if span is not None)
        return self._by_year[year]

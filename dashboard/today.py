"""The last day in figures: what was due, what became of it, and in which half hour. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.moments import time_of_day
from db.overview import Count
from db.states import Outcome

BACK, AHEAD = timedelta(hours=24), timedelta(hours=6)
SLICE = timedelta(minutes=30)
NOT_YET = timedelta(seconds=60)
"""What was due so short a time ago may still be waiting for its turn."""
TICK_HOURS = 3


@dataclass(frozen=True, slots=True)
class Window:
    """The slices of the last day and the next hours; `begin` is the first instant of the first one."""

    begin: datetime
    now: datetime

    @property
    def slices(self) -> list[datetime]:
        """The first instant of each."""
        count = (BACK + AHEAD) // SLICE
        return [self.begin + number * SLICE for number in range(count + 1)]


def window(now: datetime) -> Window:
    """The one that ends with the slice that `now` is in; the same for everybody for half an hour."""
    current = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    return Window(current - BACK, now)


@dataclass
class Slice:
    """What was due in half an hour, or will be."""

    ran: int = 0
    late: int = 0
    not_run: int = 0
    failed: int = 0
    planned: int = 0


@dataclass(frozen=True, slots=True)
class Day:
    """The figures of a window, up to its now."""

    window: Window
    slices: Mapping[datetime, Slice]
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    late: int = 0
    failed: int = 0

    @property
    def due(self) -> int:
        return sum(self.outcomes.values())

    @property
    def waiting(self) -> int:
        return self.outcomes.get(Outcome.PENDING, 0)


def day(
    window: Window, counts: Iterable[Count], failures: Iterable[tuple[datetime, int]], planned: Mapping[datetime, int]
) -> Day:
    """The figures that the catalogue's counts add up to; `planned` is by the first instants of slices."""
    slices = {at: Slice(planned=planned.get(at, 0)) for at in window.slices}
    outcomes: Counter[Outcome] = Counter()
    late = failed = 0
    for each in counts:
        outcomes[each.outcome] += each.count
        late += each.count if each.late else 0
        _add(slices[each.at], each)
    for at, count in failures:
        slices[at].failed += count
        failed += count
    return Day(window, slices, dict(outcomes), late, failed)


def _add(into: Slice, each: Count) -> None:
    if each.late:
        into.late += each.count
    elif each.outcome in (Outcome.RAN, Outcome.RUNNING):
        into.ran += each.count
    elif each.outcome is not Outcome.PENDING:
        into.not_run += each.count


def sentence(day: Day) -> str:
    """`1,284 of 1,284 due times of the last 24 hours accounted for.`, or with the exceptions."""
    if day.due == 0:
        return "Nothing was due in the last 24 hours."
    accounted = day.due - day.waiting
    exceptions = [
        f"{count:,} {words[0] if count == 1 else words[1]}"
        for count, words in (
            (day.waiting, ("still waits", "still wait")),
            (day.outcomes.get(Outcome.UNKNOWN, 0), ("is unknown", "are unknown")),
        )
        if count
    ]
    noun = "due time" if day.due == 1 else "due times"
    said = f"{accounted:,} of {day.due:,} {noun} of the last 24 hours accounted for"
    return f"{said}; {', '.join(exceptions)}." if exceptions else f"{said}."


def chart(day: Day, zone: str) -> dict[str, Any]:
    """The slices as two rows of stacked bars: what went well and what comes, and below, larger, what did not."""
    instants = day.window.slices
    well = [[("green", each.ran), ("violet", each.planned)] for each in day.slices.values()]
    trouble = [[("red", each.failed), ("orange", each.late), ("gray", each.not_run)] for each in day.slices.values()]
    titles = [_title(at, day.slices[at], zone) for at in instants]
    return {
        "plots": [_plot(well), _plot(trouble)],
        "titles": titles,
        "ticks": _ticks(instants, zone),
        "now": (day.window.now - day.window.begin) / (len(instants) * SLICE),
        "legend": [
            {"tone": "green", "word": "On time"},
            {"tone": "violet", "word": "Planned"},
            {"tone": "red", "word": "Failed"},
            {"tone": "orange", "word": "Late"},
            {"tone": "gray", "word": "Not run"},
        ],
    }


def _plot(bars: Sequence[Sequence[tuple[str, int]]]) -> dict[str, Any]:
    highest = max((sum(count for _, count in bar) for bar in bars), default=0)
    return {
        "highest": highest,
        "bars": [[[tone, count / highest] for tone, count in bar if count] for bar in bars] if highest else [],
    }


def _title(at: datetime, each: Slice, zone: str) -> str:
    counted = ((each.ran, "on time"), (each.late, "late"), (each.failed, "failed"), (each.not_run, "not run"))
    words = [f"{count:,} {word}" for count, word in (*counted, (each.planned, "planned")) if count]
    return f"{time_of_day(at, zone)} to {time_of_day(at + SLICE, zone)}: {', '.join(words) or 'nothing due'}"


def _ticks(instants: Sequence[datetime], zone: str) -> list[dict[str, Any]]:
    found = []
    for number, at in enumerate(instants):
        local = at.astimezone(ZoneInfo(zone))
        if local.minute == 0 and local.hour % TICK_HOURS == 0:
            found.append({"at": number / len(instants), "word": f"{local:%H:%M}"})
    return found

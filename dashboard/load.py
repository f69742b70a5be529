"""The load ahead: how many tasks are due in each minute, and how much work that is. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import takewhile

from db import stored
from db.load import Alone, Shared
from db.schedules import Cron, Schedule, by_minutes, due_times, open_due_times

DAYS = 7
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UNKNOWN_SECONDS = 1.0
"""What a task that has never run is taken to need."""
BUSIEST = 12

Schedules = tuple[str, str]
"""A cron and its zone."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is due from an instant on, by the first instant of each minute."""

    begin: datetime
    end: datetime
    starts: Mapping[datetime, int]
    work_seconds: Mapping[datetime, float]
    by_minute: Mapping[datetime, Sequence[Schedules]] = field(default_factory=dict)
    """Which schedules share each minute, where there are several tasks."""

    def amounts(self, *, weighted: bool) -> Mapping[datetime, float]:
        """Starts, or seconds of work."""
        return self.work_seconds if weighted else self.starts

    def by_hour(self, *, weighted: bool) -> dict[datetime, float]:
        found: Counter[datetime] = Counter()
        for minute, amount in self.amounts(weighted=weighted).items():
            found[minute.replace(minute=0)] += amount  # type: ignore[assignment]
        return dict(found)

    def busiest(self, *, weighted: bool, count: int = BUSIEST) -> list[datetime]:
        """The minutes with the most, in the order of time where they have as much."""
        amounts = self.amounts(weighted=weighted)
        return sorted(amounts, key=lambda minute: (-amounts[minute], minute))[:count]


def load(shared: Iterable[Shared], alone: Iterable[Alone], *, begin: datetime, end: datetime) -> Load:
    """Of these schedules, between two instants."""
    starts: Counter[datetime] = Counter()
    work: dict[datetime, float] = defaultdict(float)
    by_minute: dict[datetime, list[Schedules]] = defaultdict(list)
    for each in shared:
        took = UNKNOWN_SECONDS if each.took_seconds is None else each.took_seconds
        for minute, times in _minutes(Cron(each.cron, each.timezone), begin, end):
            starts[minute] += times * each.tasks
            work[minute] += times * each.tasks * took
            by_minute[minute].append((each.cron, each.timezone))
    for one in alone:
        found = stored.read(one.spec)
        if found.broken is not None:
            continue
        task = found.task
        took = UNKNOWN_SECONDS if one.took_seconds is None else one.took_seconds
        schedule, times = by_minutes(task.schedule.value())
        upcoming = open_due_times(schedule, after=begin - MINUTE, starts_at=task.starts_at, ends_at=task.ends_at)
        for minute in _within(upcoming, begin, end):
            starts[minute] += times
            work[minute] += times * took
    return Load(begin, end, starts, work, by_minute)


# The same all day, and the same for every reader of a zone.
@lru_cache(maxsize=20_000)
def _minutes(schedule: Schedule, begin: datetime, end: datetime) -> tuple[tuple[datetime, int], ...]:
    """The minutes in which a schedule is due, and how often in each."""
    schedule, times = by_minutes(schedule)
    found = Counter(_within(due_times(schedule, after=begin - MINUTE), begin, end))
    return tuple((minute, times * count) for minute, count in found.items())


def _within(instants: Iterable[datetime], begin: datetime, end: datetime) -> list[datetime]:
    return [at.replace(second=0, microsecond=0) for at in takewhile(lambda at: at < end, instants) if at >= begin]

"""What an edit changes before it is saved: due times that come and go, and runs that would meet each other. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise, takewhile
from math import ceil

from dashboard.moments import span
from db.schedules import Schedule, open_due_times
from db.specs import AnyTask
from db.states import Overlap

AHEAD = timedelta(days=14)
LOOKED_AT = 2000
"""Where more due times than these come in two weeks, the time looked at ends with the last of them."""
NAMED = 10


@dataclass(frozen=True, slots=True)
class Effects:
    """Due times that come and go within `ahead` of now."""

    added: tuple[datetime, ...] = ()
    removed: tuple[datetime, ...] = ()
    ahead: timedelta = AHEAD

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def effects(before: AnyTask, after: AnyTask, *, now: datetime) -> Effects:
    """Of saving `after` over `before`, as far as schedules go."""
    now = now.replace(second=0, microsecond=0)
    was, will_be = (_upcoming(task, now) for task in (before, after))
    until = min([now + AHEAD, *(upcoming[-1] for upcoming in (was, will_be) if len(upcoming) == LOOKED_AT)])
    added, removed = (
        tuple(sorted(at for at in group if at <= until)) for group in (set(will_be) - set(was), set(was) - set(will_be))
    )
    return Effects(added, removed, until - now)


def _upcoming(task: AnyTask, now: datetime) -> tuple[datetime, ...]:
    return _due(task.schedule.value(), task.starts_at, task.ends_at, now)


# Asked at every keystroke, and the same for a minute.
@lru_cache(maxsize=256)
def _due(
    schedule: Schedule, starts_at: datetime | None, ends_at: datetime | None, now: datetime
) -> tuple[datetime, ...]:
    upcoming = open_due_times(schedule, after=now, starts_at=starts_at, ends_at=ends_at)
    return tuple(takewhile(lambda at: at <= now + AHEAD, islice(upcoming, LOOKED_AT)))


def in_words(found: Effects) -> str:
    """`Due times of the next 14 days: 336 added, 14 gone.`"""
    ahead = f"{AHEAD.days} days" if found.ahead == AHEAD else span(found.ahead.total_seconds())
    if not found:
        return f"No due time of the next {ahead} is added or goes."
    parts = [f"{len(group):,} {word}" for group, word in ((found.added, "added"), (found.removed, "gone")) if group]
    return f"Due times of the next {ahead}: {', '.join(parts)}."


def overlap_forecast(task: AnyTask, usual_seconds: float | None, *, now: datetime) -> str:
    """What the policy would do where runs take longer than the pause between due times; empty where they don't."""
    gap = _shortest_gap(_upcoming(task, now.replace(second=0, microsecond=0)))
    if usual_seconds is None or gap is None or usual_seconds <= gap.total_seconds():
        return ""
    times = ceil(usual_seconds / gap.total_seconds())
    consequence = {
        Overlap.SKIP: f"of {times} due times in a row, {times - 1} would be skipped",
        Overlap.QUEUE: "runs would wait for each other, and ever longer",
        Overlap.ALLOW: f"up to {times} runs would go on side by side",
        Overlap.REPLACE: "each run would be stopped by the next one",
    }[task.overlap]
    return (
        f"A run takes up to {span(usual_seconds)}, and it can be due after {span(gap.total_seconds())}: {consequence}."
    )


def _shortest_gap(upcoming: Sequence[datetime]) -> timedelta | None:
    return min((later - earlier for earlier, later in pairwise(upcoming)), default=None)

"""Spreading: other minutes for tasks that are all due in the same one, as near and as quiet as can be. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.load import Sharer

NEAR = 30
"""A task is moved by no more minutes than this, and stays within its hour."""
HOUR = 60
_NUMBER = re.compile(r"\d{1,2}\Z")
_STEP = re.compile(r"\*/(\d{1,2})\Z")


@dataclass(frozen=True, slots=True)
class Proposal:
    """Another cron for a task, which differs from its own in the minutes alone."""

    task_id: UUID
    task_name: str
    version: int
    before: str
    after: str


def profile(starts: Mapping[datetime, float]) -> list[float]:
    """How much is due in each minute of an hour, over all hours."""
    found = [0.0] * HOUR
    for minute, amount in starts.items():
        found[minute.minute] += amount
    return found


def propose(sharers: Sequence[Sharer], busy: Sequence[float]) -> list[Proposal]:
    """For each task but the first, the quietest minute near its own, if one is quieter.

    Tasks whose minutes are neither a number nor an even step are left alone.
    """
    load = list(busy)
    found = []
    for sharer in sharers[1:]:
        after = _moved(sharer.cron, load)
        if after is not None:
            found.append(Proposal(sharer.id, sharer.name, sharer.version, sharer.cron, after))
    return found


def _moved(cron: str, load: list[float]) -> str | None:
    """The cron with other minutes, which are noted in the load; None where it is best as it is."""
    minutes, _, rest = cron.partition(" ")
    if len(cron.split()) != 5:
        return None
    if _NUMBER.match(minutes) and int(minutes) < HOUR:
        return _moved_minute(int(minutes), rest, load)
    step = _STEP.match(minutes)
    if step and 1 < int(step[1]) < HOUR and HOUR % int(step[1]) == 0:
        return _moved_step(int(step[1]), rest, load)
    return None


def _moved_minute(minute: int, rest: str, load: list[float]) -> str | None:
    near = range(max(0, minute - NEAR), min(HOUR, minute + NEAR + 1))
    quietest = min(near, key=lambda other: (load[other] + (other != minute), abs(other - minute), other))
    if quietest == minute:
        return None
    load[minute] -= 1
    load[quietest] += 1
    return f"{quietest} {rest}"


def _moved_step(step: int, rest: str, load: list[float]) -> str | None:
    def amount(offset: int) -> float:
        return sum(load[minute] for minute in range(offset, HOUR, step))

    each = HOUR // step
    quietest = min(range(step), key=lambda offset: (amount(offset) + (each if offset else 0), offset))
    if quietest == 0:
        return None
    _shift(load, range(0, HOUR, step), -1)
    _shift(load, range(quietest, HOUR, step), 1)
    return f"{quietest}-{HOUR - 1}/{step} {rest}"


def _shift(load: list[float], minutes: Iterable[int], by: float) -> None:
    for minute in minutes:
        load[minute] += by

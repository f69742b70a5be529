"""What the arrivals say: delays, lost and doubled runs, throughput. Pure.

A delay is the seconds from the due instant to the first instruction of the user's command.
"""

import math
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.arrivals import Arrival

SAME_INSTANT_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Figures:
    """Delays in seconds; None where nothing started."""

    expected: int
    started: int
    """Of what was expected; a run that started twice counts once."""
    doubled: int
    min: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    per_second: float | None
    """Starts a second, from the first due instant to the last start, or to the end of the last due second."""

    @property
    def lost(self) -> int:
        return self.expected - self.started

    def document(self) -> dict[str, float | int | None]:
        return {**asdict(self), "lost": self.lost}


Due = Mapping[str, Collection[float]]
"""For each task the instants at which it is due; a set where they are many."""


Starts = Mapping[tuple[str, float], float]
"""For each task and due instant its first start."""


def starts(due: Due, arrivals: Sequence[Arrival]) -> tuple[Starts, int]:
    """The first start of each due instant, and how many starts were second ones.

    Runs of other tasks or other due instants are nobody's. A task with one due instant needs not say it.
    """
    first: dict[tuple[str, float], float] = {}
    counts: Counter[tuple[str, float]] = Counter()
    for arrival in arrivals:
        instant = _meant(due.get(arrival.task, ()), arrival.due_at)
        if instant is not None:
            key = (arrival.task, instant)
            counts[key] += 1
            first[key] = min(first.get(key, math.inf), arrival.at)
    return first, counts.total() - len(counts)


def delays(due: Due, arrivals: Sequence[Arrival]) -> list[float]:
    """The delay of each first start, in no order."""
    return [at - instant for (_, instant), at in starts(due, arrivals)[0].items()]


def _meant(instants: Collection[float], said: float | None) -> float | None:
    if len(instants) == 1:
        return next(iter(instants))
    if said is None:
        return None
    return next((each for each in (round(said), said) if each in instants and _same(each, said)), None)


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME_INSTANT_SECONDS


def figures(due: Due, arrivals: Sequence[Arrival]) -> Figures:
    """All figures of one scenario."""
    doubled = starts(due, arrivals)[1]
    ordered = sorted(delays(due, arrivals))
    seconds = _seconds(due, arrivals)
    return Figures(
        expected=sum(map(len, due.values())),
        started=len(ordered),
        doubled=doubled,
        min=ordered[0] if ordered else None,
        p50=quantile(ordered, 0.50),
        p95=quantile(ordered, 0.95),
        p99=quantile(ordered, 0.99),
        max=ordered[-1] if ordered else None,
        per_second=len(ordered) / seconds if seconds else None,
    )


def _seconds(due: Due, arrivals: Sequence[Arrival]) -> float | None:
    begun = starts(due, arrivals)[0].values()
    every = {instant for instants in due.values() for instant in instants}
    if not begun:
        return None
    end = max(every) + 1 if len(every) > 1 else max(every)
    return max(*begun, end) - min(every)


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least that share of them does not exceed; None of none."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def medians(documents: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Of several documents of one shape, the median of each number, deep inside too; of the rest the first's."""
    merged: dict[str, object] = {}
    for name, first in documents[0].items():
        values = [document.get(name) for document in documents]
        inner = [value for value in values if isinstance(value, Mapping)]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if inner:
            merged[name] = medians(inner)
        else:
            merged[name] = statistics.median(numbers) if numbers else first
    return merged

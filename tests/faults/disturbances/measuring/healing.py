"""How long a system took to heal, and whether `/readyz` told the truth meanwhile. Pure.

A pulse is a task that is due every second and ends at once: its starts show whether what is due now starts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

ON_TIME_SECONDS = 1.0
STANDSTILL_SECONDS = 15.0
"""When nothing was started for this long, `/readyz` has to say so."""
AT_MOST_WITHOUT_START_SECONDS = 5
"""For this long a fault of one task may hold the others up."""

Pulse = Mapping[int, float]
"""By due time, in whole seconds since 1970: when its first attempt started."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What `/readyz` answered, and when it was asked."""

    at: float
    ready: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Healing:
    """Seconds from the end of the disturbance; None where it did not happen."""

    first: float | None
    """To the due time with which each pulse has started on time once."""
    steady: float | None
    """To the due time from which on each pulse started on time, always."""
    ready: float | None
    """To the moment from which on `/readyz` said ready, always."""


def healing(pulses: Sequence[Pulse], samples: Sequence[Sample], *, ended_at: float, until: float) -> Healing:
    """What the starts and samples from `ended_at` up to `until` say."""
    dues = range(int(ended_at) + 1, int(until - ON_TIME_SECONDS))
    firsts = [next((due - ended_at for due in dues if is_on_time(pulse, due)), None) for pulse in pulses]
    lasts = [_steady(pulse, dues, ended_at) for pulse in pulses]
    return Healing(first=_longest(firsts), steady=_longest(lasts), ready=_ready(samples, ended_at))


def is_on_time(pulse: Pulse, due: int) -> bool:
    """Whether this due time was started within a second."""
    return due in pulse and pulse[due] - due <= ON_TIME_SECONDS


def longest_without_start(pulse: Pulse, *, begin: float, end: float) -> int:
    """Of the due times between the two, the most in a row that were not started on time."""
    longest = row = 0
    for due in range(int(begin) + 1, int(end - ON_TIME_SECONDS)):
        row = 0 if is_on_time(pulse, due) else row + 1
        longest = max(longest, row)
    return longest


def lies(starts: Iterable[float], samples: Sequence[Sample], *, begin: float, until: float) -> Iterator[str]:
    """Each standstill in which `/readyz` went on saying ready."""
    moments = [begin, *sorted(at for at in starts if begin < at < until), until]
    for before, after in pairwise(moments):
        told = [one for one in samples if before + STANDSTILL_SECONDS < one.at < after and one.ready]
        if told:
            yield (
                f"nothing was started for {after - before:.0f} s, and /readyz said ready {len(told)} times, the first "
                f"time after {told[0].at - before:.0f} s"
            )


def _steady(pulse: Pulse, dues: range, ended_at: float) -> float | None:
    late = [due for due in dues if not is_on_time(pulse, due)]
    if not late:
        return 0.0
    return None if late[-1] == dues[-1] else late[-1] + 1 - ended_at


def _ready(samples: Sequence[Sample], ended_at: float) -> float | None:
    after = [one for one in samples if one.at >= ended_at]
    if not after or not after[-1].ready:
        return None
    unwell = [index for index, one in enumerate(after) if not one.ready]
    return after[unwell[-1] + 1].at - ended_at if unwell else 0.0


def _longest(found: Sequence[float | None]) -> float | None:
    known = [one for one in found if one is not None]
    return max(known, default=0.0) if len(known) == len(found) else None

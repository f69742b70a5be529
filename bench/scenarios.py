"""What is measured: each scenario, in its full and its quick form. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.work import Kind

BURSTS = (60, 300, 1000)
RATES = (10, 20, 30, 50, 75, 100, 150, 200, 300)
MOST_TO_CLEAR = 100
"""After more a fresh start is quicker, and nobody is measured while still busy with what was."""
LATE_SECONDS = 1.0
"""A rate is kept while 99 of 100 delays stay below this and nothing is lost."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What all have in common; `patience_seconds` is how long runs may start after the last due time."""

    name: str
    kind: Kind
    patience_seconds: float

    @property
    def is_rate(self) -> bool:
        """Whether it is one of a row that ends where a peer can't keep up."""
        return False

    @property
    def leaves_tasks(self) -> bool:
        """Whether a peer has to be started afresh after it."""
        return False


@dataclass(frozen=True, slots=True)
class EverySecond(Scenario):
    """So many tasks, each due at every whole second, among idle ones that exist and are never due."""

    tasks: int
    seconds: int
    idle: int = 0

    @property
    def is_rate(self) -> bool:
        return self.tasks > 1

    @property
    def leaves_tasks(self) -> bool:
        return self.idle > 0


@dataclass(frozen=True, slots=True)
class Together(Scenario):
    """So many one-shots that are due at the same instant."""

    count: int

    @property
    def leaves_tasks(self) -> bool:
        return self.count > MOST_TO_CLEAR


@dataclass(frozen=True, slots=True)
class RunNow(Scenario):
    """Runs asked for one after the other; `patience_seconds` is for all of them.

    The pauses between them are drawn at random, so that they meet a peer's polls at any phase.
    """

    count: int
    longest_pause_seconds: float


def scenarios(*, quick: bool, up_to: int, kinds: Sequence[Kind], only: Sequence[str]) -> list[Scenario]:
    """What is to be measured; `only` keeps those whose names begin with one of these words."""
    found = [
        *(each for kind in kinds for each in _small(kind, quick=quick)),
        *_bursts(quick=quick, named=only),
        *_rates(quick=quick, up_to=up_to),
        _among_idle(quick=quick),
    ]
    return [each for each in found if not only or any(each.name.startswith(word) for word in only)]


def _small(kind: Kind, *, quick: bool) -> list[Scenario]:
    """What is measured with each kind of work."""
    end = "" if kind is Kind.SHELL else f"/{kind}"
    seconds, count, pause = (20, 6, 3) if quick else (300, 20, 10)
    alone: list[Scenario] = [
        EverySecond(f"every-second{end}", kind, _patience(quick), tasks=1, seconds=seconds),
        RunNow(f"run-now{end}", kind, 45 if quick else 300, count=count, longest_pause_seconds=pause),
    ]
    return alone if kind is Kind.SHELL else [*alone, Together(f"due-60{end}", kind, _burst_patience(quick), count=60)]


def _bursts(*, quick: bool, named: Sequence[str]) -> list[Scenario]:
    counts = [count for count in BURSTS if not quick or count < max(BURSTS) or f"due-{count}" in named]
    return [Together(f"due-{count}", Kind.SHELL, _burst_patience(quick), count=count) for count in counts]


def _rates(*, quick: bool, up_to: int) -> list[Scenario]:
    seconds = 15 if quick else 300
    rates = [rate for rate in RATES if rate <= up_to]
    return [EverySecond(f"rate-{rate}", Kind.SHELL, _patience(quick), tasks=rate, seconds=seconds) for rate in rates]


def _among_idle(*, quick: bool) -> Scenario:
    idle, seconds = (200, 15) if quick else (10_000, 300)
    return EverySecond(f"idle-{idle}", Kind.SHELL, _patience(quick), tasks=1, seconds=seconds, idle=idle)


def _patience(quick: bool) -> float:
    return 10 if quick else 60


def _burst_patience(quick: bool) -> float:
    return 60 if quick else 300


def broke(lost: int, p99: float | None) -> bool:
    """Whether a peer did not keep up with what it was given."""
    return lost > 0 or p99 is None or p99 > LATE_SECONDS

"""Which trials there are and in what order, told by a seed alone. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trial:
    """One disturbance of a running system, by the kind's own dice."""

    kind: str
    seed: int
    number: int

    @property
    def id(self) -> str:
        """`read_only-7-1`."""
        return f"{self.kind}-{self.seed}-{self.number}"

    def luck(self) -> random.Random:
        """The dice; the same ones each time."""
        return random.Random(self.id)


def plan(kinds: Sequence[str], *, seed: int, of_each: int) -> list[Trial]:
    """Each kind once before any of them comes again, each time in another order."""
    luck = random.Random(f"trials {seed}")
    rounds = ((number, luck.sample(sorted(kinds), len(kinds))) for number in range(1, of_each + 1))
    return [Trial(kind, seed, number) for number, shuffled in rounds for kind in shuffled]

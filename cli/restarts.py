"""How long a part that died waits before it is started again."""

from dataclasses import dataclass

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a part has died lately."""

    deaths: int = 0

    def after_death(self, *, lived_seconds: float) -> "Restarts":
        """One more; a life of a minute makes up for all deaths before it."""
        return Restarts(1 if lived_seconds >= HEALTHY_AFTER_SECONDS else self.deaths + 1)

    @property
    def delay_seconds(self) -> float:
        """1, 2, 4 and so on, up to 30."""
        doublings = min(max(self.deaths - 1, 0), 10)
        return min(FIRST_DELAY_SECONDS * 2.0**doublings, LONGEST_DELAY_SECONDS)

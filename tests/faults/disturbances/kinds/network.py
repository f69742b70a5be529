"""The network between the parts and PostgreSQL, or Prefect, holds, loses, delays, resets or refuses connections."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.faults.disturbances.disturbance import Disturbance, World
from tests.faults.disturbances.network.manners import Delay, Hold, Lose, LoseFrom, Manner, Pass, Refuse, Reset
from tests.faults.disturbances.network.proxy import Proxy
from tests.faults.disturbances.stage import CLIENTS_OF_PREFECT, PARTS, Stage

WORKERS = ("worker-1", "worker-2")
SECONDS = (8.0, 20.0)


@dataclass
class ToPostgres(Disturbance):
    """What the connections of some parts to PostgreSQL meet."""

    parts: Sequence[str]
    manner: Manner

    def begin(self, world: World) -> None:
        for proxy in self._proxies(world.stage):
            proxy.treat(self.manner)

    def end(self, world: World) -> None:
        for proxy in self._proxies(world.stage):
            proxy.treat(Pass())

    def _proxies(self, stage: Stage) -> list[Proxy]:
        return [stage.to_postgres[part] for part in self.parts]

    @classmethod
    def held(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), PARTS, Hold())

    @classmethod
    def lost(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), PARTS, Lose())

    @classmethod
    def part_lost(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), [luck.choice(PARTS)], Lose())

    @classmethod
    def reset(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), PARTS, Reset())

    @classmethod
    def refused(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), PARTS, Refuse())

    @classmethod
    def slow(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), PARTS, Delay(luck.uniform(0.1, 0.5)))


@dataclass
class ToPrefect(ToPostgres):
    """What connections to Prefect meet."""

    def _proxies(self, stage: Stage) -> list[Proxy]:
        return [stage.to_prefect[part] for part in self.parts]

    @classmethod
    def held(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), CLIENTS_OF_PREFECT, Hold())

    @classmethod
    def lost(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), CLIENTS_OF_PREFECT, Lose())

    @classmethod
    def refused(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), CLIENTS_OF_PREFECT, Refuse())

    @classmethod
    def slow(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), CLIENTS_OF_PREFECT, Delay(luck.uniform(1.0, 4.0)))


@dataclass
class SomeConnectionsLost(Disturbance):
    """Single connections of every part to PostgreSQL fall silent for ever; new ones work all the while."""

    share: float
    luck: random.Random = field(repr=False, compare=False)

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        return cls(10.0, luck.choice([0.0, 0.3, 0.6, 1.0]), luck)

    def begin(self, world: World) -> None:
        for proxy in world.stage.to_postgres.values():
            proxy.treat_some(Lose(), self.luck, share=self.share)

    def end(self, world: World) -> None:
        """They stay as they are."""


@dataclass
class LostInCommit(Disturbance):
    """A worker is cut off for good just as it commits: PostgreSQL keeps its transaction open, with all locks."""

    part: str
    offset_seconds: float

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), luck.choice(WORKERS), luck.uniform(-0.02, 0.05))

    def begin(self, world: World) -> None:
        # Around a full second most commits are claims.
        time.sleep((self.offset_seconds - time.time()) % 1)
        world.stage.to_postgres[self.part].treat(LoseFrom(b"COMMIT"))

    def end(self, world: World) -> None:
        world.stage.to_postgres[self.part].treat(Pass())

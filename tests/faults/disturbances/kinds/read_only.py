"""PostgreSQL takes no writes, as a standby that is not promoted yet."""

import random
from dataclasses import dataclass
from typing import Self

from cli.settings import CATALOGUE
from tests.faults.disturbances.disturbance import Disturbance, World
from tests.faults.disturbances.kinds.sessions import end_sessions

PREFECT = f"{CATALOGUE}_prefect"
ELSEWHERE = "postgres"
"""A database that takes writes all the while."""


@dataclass
class ReadOnly(Disturbance):
    """Whoever connects may read alone; connections are ended when it begins and when it ends, as by a failover."""

    databases: tuple[str, ...]

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        return cls(12.0, luck.choice([(CATALOGUE,), (CATALOGUE, PREFECT)]))

    def begin(self, world: World) -> None:
        for database in self.databases:
            statement = f'ALTER DATABASE "{database}" SET default_transaction_read_only = on'
            world.stage.sql(statement, database=ELSEWHERE)
        end_sessions(world.stage, self.databases)

    def end(self, world: World) -> None:
        for database in self.databases:
            world.stage.sql(f'ALTER DATABASE "{database}" RESET default_transaction_read_only', database=ELSEWHERE)
        end_sessions(world.stage, self.databases)

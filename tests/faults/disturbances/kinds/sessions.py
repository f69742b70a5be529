"""PostgreSQL ends connections of the system's parts, as an administrator or a failover does."""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from cli.settings import CATALOGUE
from tests.faults.disturbances.disturbance import Disturbance, World
from tests.faults.disturbances.stage import Stage

DATABASES = (CATALOGUE, f"{CATALOGUE}_prefect")
_PIDS = (
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
    "AND datname = ANY(%s) ORDER BY pid"
)
_END = "SELECT count(pg_terminate_backend(pid)) FROM unnest(%s::int[]) AS pid"


def end_sessions(stage: Stage, databases: Sequence[str] = DATABASES) -> None:
    """All of them."""
    with stage.connection("postgres") as connection:
        pids = [row[0] for row in connection.execute(_PIDS, [list(databases)])]
        connection.execute(_END, [pids])


@dataclass
class EndedSessions(Disturbance):
    """Again and again, all connections or a random part of them."""

    every_seconds: float
    share: float
    luck: random.Random = field(repr=False, compare=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    _thread: threading.Thread | None = field(default=None, repr=False, compare=False)

    @classmethod
    def all_of_them(cls, luck: random.Random) -> Self:
        return cls(12.0, luck.uniform(1.0, 4.0), 1.0, luck)

    @classmethod
    def some(cls, luck: random.Random) -> Self:
        return cls(12.0, luck.uniform(0.3, 1.0), luck.uniform(0.1, 0.4), luck)

    def begin(self, world: World) -> None:
        self._thread = threading.Thread(target=self._run, args=(world.stage,), name="session-killer", daemon=True)
        self._thread.start()

    def end(self, world: World) -> None:  # noqa: ARG002 - there is nothing to be set right
        self._over.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self, stage: Stage) -> None:
        with stage.connection("postgres") as connection:
            while not self._over.is_set():
                pids = [row[0] for row in connection.execute(_PIDS, [list(DATABASES)])]
                doomed = [pid for pid in pids if self.luck.random() < self.share]
                connection.execute(_END, [doomed])
                self._over.wait(self.every_seconds)

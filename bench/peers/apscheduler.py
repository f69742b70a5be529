"""APScheduler 3: its asyncio scheduler with jobs kept in PostgreSQL, both as its user guide has them."""

import importlib.metadata
import sys
from collections.abc import Mapping

from bench.peers.programs import ProgramPeer


class Apscheduler(ProgramPeer):
    title = "APScheduler"

    def missing(self) -> str | None:
        return None

    def start(self) -> None:
        words = [sys.executable, "-m", "bench.peers.apscheduler_program", self._place.database("apscheduler")]
        self._start_program(words, self._place.fresh_folder("apscheduler"))

    def versions(self) -> Mapping[str, str]:
        return {"APScheduler": importlib.metadata.version("apscheduler")}

    def parts(self) -> Mapping[str, list[int]]:
        return {"worker": [self._program.pid], "postgres": self._place.postgres_pids()}

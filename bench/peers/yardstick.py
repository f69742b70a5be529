"""The yardstick: a bare asyncio loop on PostgreSQL, which keeps no more than when a run was claimed and ended."""

import platform
import sys
from collections.abc import Mapping

from bench.peers.programs import ProgramPeer


class Yardstick(ProgramPeer):
    title = "Bare loop"

    def missing(self) -> str | None:
        return None

    def start(self) -> None:
        words = [sys.executable, "-m", "bench.peers.yardstick_program", self._place.database("yardstick")]
        self._start_program(words, self._place.fresh_folder("yardstick"))

    def versions(self) -> Mapping[str, str]:
        return {"Python": platform.python_version()}

    def parts(self) -> Mapping[str, list[int]]:
        return {"worker": [self._program.pid], "postgres": self._place.postgres_pids()}

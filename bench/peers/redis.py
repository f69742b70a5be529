"""A redis-server of our own, on a free port."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.face import PeerFailed, ended, tail
from tests.system import free_port
from tests.waiting import wait_until

CURE = "No redis-server is on the PATH. On Debian: apt-get install redis-server"


def missing() -> str | None:
    return None if shutil.which("redis-server") else CURE


def version() -> str:
    said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    return said.partition("v=")[2].split(" ")[0]


class Redis:
    """Keeps an append-only file, so that what was accepted outlives a crash, as the other peers' databases do."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "redis.log"
        words = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        words += ["--appendonly", "yes", "--maxmemory-policy", "noeviction"]
        # Its blocking commands, which BullMQ waits with, end up to 1/hz s late.
        words += ["--hz", "100"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        wait_until(self._answers, "redis-server answers", seconds=20)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise PeerFailed(f"redis-server ended:\n{tail(self._log)}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        ended(self._process)


@contextmanager
def running(folder: Path) -> Iterator[Redis]:
    server = Redis(folder)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()

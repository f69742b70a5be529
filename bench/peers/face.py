"""What the harness asks of every peer, and the place that a peer is started in."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.arrivals import Recorder
from bench.work import Work
from cli.postgres import EmbeddedPostgres, ensure_database


class PeerFailed(Exception):
    """A peer could not do what it was asked; the message says what it said."""


@dataclass
class Place:
    """What all peers share: a folder for files, the recorder, and a PostgreSQL server that starts when first asked."""

    folder: Path
    recorder: Recorder
    _names: int = field(default=0, init=False)

    @property
    def postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self.folder / "postgres", ends_with_us=True)

    def database(self, name: str) -> str:
        """The url of an empty database."""
        self.postgres.start()
        self._names += 1
        ensure_database(self.postgres.url(), f"{name}_{self._names}")
        return self.postgres.url(f"{name}_{self._names}")

    def postgres_pids(self) -> list[int]:
        pid = self.postgres.pid()
        return [] if pid is None else [pid]

    def fresh_folder(self, name: str) -> Path:
        self._names += 1
        folder = self.folder / f"{name}-{self._names}"
        folder.mkdir(mode=0o755)
        return folder

    def stop(self) -> None:
        self.postgres.stop()


@contextmanager
def a_place() -> Iterator[Place]:
    """In a temporary folder; at the end everything shared is stopped, and the folder is gone."""
    with tempfile.TemporaryDirectory(prefix="duetime-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root PostgreSQL runs as another user
        place = Place(folder, Recorder(folder).start())
        try:
            yield place
        finally:
            place.stop()
            place.recorder.stop()


class Peer(Protocol):
    """A scheduler under measurement. Everything is started by `start` and stopped again by `stop`."""

    @property
    def title(self) -> str:
        """The head of its column."""

    def missing(self) -> str | None:
        """Why it cannot be measured on this machine, with the cure; None if it can."""

    def start(self) -> None:
        """Returns when what is asked of it now would run. Each start is a fresh one, without tasks."""

    def stop(self) -> None:
        """Also what a start that failed has left."""

    def versions(self) -> Mapping[str, str]: ...

    def parts(self) -> Mapping[str, list[int]]:
        """The first processes of each of its parts."""

    def lead_seconds(self, count: int) -> float:
        """How long before they are due that many tasks have to be made."""

    def every_second(self, works: Sequence[Work], *, since: int, until: int) -> None:
        """Makes them due at every whole second from `since` on, before `until`; epoch seconds."""

    def together(self, works: Sequence[Work], *, due: int) -> None:
        """Makes each due once, at that instant."""

    def prepare(self, work: Work) -> None:
        """Makes a task that runs when somebody asks for it."""

    def run_now(self, work: Work) -> None:
        """Asks for a run of what was prepared."""

    def idle(self, count: int) -> None:
        """Makes that many tasks that are not due while anybody looks."""

    def clear(self) -> None:
        """Takes away what the last scenario made, but for idle tasks."""

    def prefect_database(self) -> str | None:
        """The url of the Prefect database in which its runs are recorded; None if it has none."""


def ended(process: "subprocess.Popen[bytes] | None", *, seconds: float = 20) -> None:
    """SIGTERM, and SIGKILL where that is not enough."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


Maker = Callable[[Place], Peer]

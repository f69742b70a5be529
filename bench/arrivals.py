"""The recorder as the harness sees it: a process, and the arrivals in its file."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from bench.work import Kind, Work

LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Arrival:
    """The first instruction of one run: `due_at` as the run was told, None if it was not, both epoch seconds."""

    task: str
    due_at: float | None
    at: float


def parse(line: str) -> Arrival:
    _, task, due, at = line.split(" ")
    return Arrival(task, instant(due), float(at))


def instant(text: str) -> float | None:
    """Epoch seconds of what a peer calls a due time: `-` or nothing, epoch seconds, or RFC 3339."""
    if text in {"-", ""}:
        return None
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()


class Recorder:
    """Started once; every arrival since then is kept."""

    def __init__(self, folder: Path) -> None:
        self.pipe = folder / "arrivals.pipe"
        self._file = folder / "arrivals.txt"
        self._heard: list[Arrival] = []
        self._offset = 0

    def start(self) -> Self:
        os.mkfifo(self.pipe)
        self.pipe.chmod(0o666)
        words = [sys.executable, "-m", "bench.recorder", str(self.pipe), str(self._file)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def stop(self) -> None:
        self._process.terminate()
        with self._process:  # closes its pipe
            self._process.wait(10)

    def work(self, task: str, kind: Kind) -> Work:
        return Work(task, kind, str(self.pipe), self.url)

    def heard(self) -> list[Arrival]:
        """All so far, oldest first."""
        with self._file.open() as file:
            file.seek(self._offset)
            new = file.read()
        whole = new[: new.rfind("\n") + 1]
        self._offset += len(whole.encode())
        self._heard += [parse(line) for line in whole.splitlines()]
        return self._heard

    def wait(self, enough: Callable[[list[Arrival]], bool], *, until: float) -> bool:
        """Looks until there are enough arrivals, or until an instant (epoch seconds)."""
        while not enough(self.heard()):
            if time.time() > until:
                return False
            time.sleep(LOOK_SECONDS)
        return True

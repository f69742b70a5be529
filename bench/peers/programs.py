"""A peer that is a program of this folder: requests go to its standard input, one JSON document a line, and each is
answered by a line."""

import json
import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.peers.face import PeerFailed, Place, ended, tail
from bench.work import Work

ANSWER_SECONDS = 600


def document(work: Work) -> dict[str, str]:
    """The work as a program reads it. Pure."""
    return {**asdict(work), "command": work.command()}


class Program:
    """One such process. Its error output goes to a log in the folder."""

    def __init__(self, words: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / "program.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment},
            )

    def wait_until_ready(self) -> None:
        self._answer()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, verb: str, works: Sequence[Work] = (), **more: Any) -> None:
        """Returns when it has done so; PeerFailed with the end of its log otherwise."""
        assert self._process.stdin is not None
        request = {"verb": verb, "works": [document(work) for work in works], **more}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> None:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        if not ready or self._process.stdout.readline() != b"ok\n":
            raise PeerFailed(f"{self._process.args!r} gave no answer:\n{tail(self._log)}")

    def stop(self) -> None:
        ended(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class ProgramPeer:
    """The face of a peer that is such a program and its servers; each subclass starts them.

    What it starts it also enters into `_running`, so that it is stopped however far the start came.
    """

    _program: Program

    def __init__(self, place: Place) -> None:
        self._place = place
        self._running = ExitStack()

    def stop(self) -> None:
        self._running.close()

    def _start_program(self, words: Sequence[str | Path], folder: Path, **environment: str) -> None:
        self._program = Program(words, folder, environment)
        self._running.callback(self._program.stop)
        self._program.wait_until_ready()

    def lead_seconds(self, count: int) -> float:
        return 2 + 0.01 * count

    def every_second(self, works: Sequence[Work], *, since: int, until: int) -> None:
        self._program.ask("every_second", works, since=since, until=until)

    def together(self, works: Sequence[Work], *, due: int) -> None:
        self._program.ask("together", works, due=due)

    def prepare(self, work: Work) -> None:
        """Nothing is to be made: what is asked for comes with its work."""

    def run_now(self, work: Work) -> None:
        self._program.ask("run_now", [work])

    def idle(self, count: int) -> None:
        self._program.ask("idle", count=count)

    def clear(self) -> None:
        self._program.ask("clear")

    def prefect_database(self) -> str | None:
        return None

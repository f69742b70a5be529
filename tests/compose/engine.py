"""A container engine of the check's own, and the project's stack in it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

PROJECT = Path(__file__).parents[2]
HEALTHY_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Engine:
    """Docker below `work`, by way of the script that brings it."""

    script: Path
    work: Path

    def prepare(self) -> None:
        """The engine runs, and every image is there: those that the project names and its own, built."""
        for step, seconds in (("engine-up", 180), ("images", 300), ("build", 420)):
            began = time.monotonic()
            self._run([step], seconds=seconds)
            say(f"{step}: {time.monotonic() - began:.0f} s")

    def up(self, *, workers: int) -> None:
        """Every service runs and is healthy."""
        words = ["up", "--detach", "--no-build", "--wait", "--wait-timeout", str(HEALTHY_SECONDS)]
        self.compose(*words, "--scale", f"worker={workers}", seconds=HEALTHY_SECONDS + 60)

    def down(self, *words: str) -> None:
        self.compose("down", "--remove-orphans", *words, seconds=150)

    def compose(self, *words: str, seconds: float = 60) -> str:
        return self.docker("compose", "--progress", "quiet", *words, seconds=seconds)

    def docker(self, *words: str, seconds: float = 60) -> str:
        """What the command prints; fails with what it complains of."""
        return self._run(["docker", *words], seconds=seconds)

    def containers(self, *services: str) -> list[str]:
        """The ids of the services' containers, or of all, one-shot ones too."""
        return self.compose("ps", "--all", "--quiet", *services).split()

    def inspect(self, container: str, template: str) -> str:
        return self.docker("inspect", "--format", template, container).strip()

    def show_logs(self) -> None:
        """What the services printed last, for whoever has to find out why."""
        say(self.compose("ps", "--all"))
        say(self.compose("logs", "--no-color", "--tail", "40"))

    def _run(self, words: list[str], *, seconds: float) -> str:
        done = subprocess.run(
            # It ends the whole process group, which subprocess's own timeout does not.
            ["timeout", str(seconds), "bash", self.script, *words],
            cwd=PROJECT,
            env=os.environ | {"W": str(self.work), "PROJECT": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def clean(self, *, keep_folder: bool) -> None:
        """The containers, their volumes and the engine are gone."""
        last = "engine-down" if keep_folder else "clean"
        for words in (["docker", "compose", "down", "--volumes", "--remove-orphans"], [last]):
            try:
                self._run(words, seconds=300)
            except AssertionError as error:
                say(f"While cleaning up: {error}")


@contextmanager
def engine(script: Path) -> Iterator[Engine]:
    """An engine that is gone afterwards, with all that it made; a folder that $W names is kept, to be faster again."""
    given = os.environ.get("W")
    own = Engine(script, Path(given or tempfile.mkdtemp(prefix="duetime-compose-", dir="/var/tmp")))
    try:
        yield own
    finally:
        own.clean(keep_folder=given is not None)


def say(text: str, *, to: TextIO = sys.stderr) -> None:
    """A line for whoever started the check."""
    print(text, file=to, flush=True)

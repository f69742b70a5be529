"""What every run does, whoever starts it: say its task's name and its due time to the recorder, and nothing else.

Light on purpose: Python tasks import it, and what is imported is measured.
"""

import os
import shlex
import time
from dataclasses import dataclass
from enum import StrEnum

BEFORE_THE_DUE_TIME = "Idempotency-Key"
"""The header that names the due time, as `<anything>/<due time>`."""


class Kind(StrEnum):
    SHELL = "shell"
    HTTP = "http"
    PYTHON = "python"


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one task. `pipe` and `url` are the recorder's two ears."""

    task: str
    kind: Kind
    pipe: str
    url: str

    def command(self, due: str = "$DUE") -> str:
        """For `/bin/sh`. Its first instruction writes one line into a pipe: nothing is forked, nothing else executed.

        `due` is how the shell gets the due time.
        """
        return f'echo "{Kind.SHELL} {self.task} {due}" >{shlex.quote(self.pipe)}'

    @property
    def address(self) -> str:
        """What an HTTP task asks for, with the due time in a header."""
        return f"{self.url}/{self.task}"


def stamp(task: str, pipe: str, due: str | None = None) -> None:
    """The function of a Python task: notes the time, and does nothing else."""
    at = time.time()
    line = f"{Kind.PYTHON} {task} {due or os.environ['DUETIME_DUE_AT']} {at:.6f}\n"
    writer = os.open(pipe, os.O_WRONLY)
    try:
        os.write(writer, line.encode())
    finally:
        os.close(writer)

"""The process of one part: started in a group of its own, watched, and started again."""

import os
import signal
import subprocess
import time
from contextlib import suppress

from cli.data_folder import DataFolder
from cli.leash import leashed
from cli.parts import Part
from cli.restarts import Restarts


class Child:
    """Instants are those of `time.monotonic`."""

    def __init__(self, part: Part, folder: DataFolder) -> None:
        self.part, self._folder = part, folder
        self.restarts = Restarts()
        self.start_at = 0.0
        self._started_at = 0.0
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs, or whose death nobody has noted yet."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Only in a thread that lasts as long as the system: when it ends, so does the part. Raises OSError."""
        log, user = self._folder.open_log(self.part.name), self.part.user
        try:
            self._log_start = os.fstat(log).st_size
            self._process = subprocess.Popen(
                leashed(self.part.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.part.environment,
                cwd=user.cwd,
                user=user.account.uid,
                group=user.account.gid,
                extra_groups=user.account.groups,
                start_new_session=True,  # the Ctrl-C of a terminal is for who started it
            )
        finally:
            os.close(log)
        self._started_at = time.monotonic()

    def exit_code(self) -> int | None:
        """None while it runs, or when it was not started."""
        return None if self._process is None else self._process.poll()

    def note_death(self) -> None:
        """Decides when it is started again."""
        now = time.monotonic()
        self.restarts = self.restarts.after_death(lived_seconds=now - self._started_at)
        self.start_at = now + self.restarts.delay_seconds
        self._process = None

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within this time; its exit status is taken."""
        if self._process is None:
            return True
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0))
        return self._process.returncode is not None

    def kill_group(self) -> None:
        """SIGKILL to it and to everything in its group."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def last_lines(self) -> str:
        """What it printed last in this life, indented."""
        lines = self._folder.last_lines(self.part.name, since_byte=self._log_start)
        return "".join(f"\n    {line}" for line in lines)


def ending(exit_code: int) -> str:
    """`was killed by SIGKILL`, `ended with exit code 1`."""
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"

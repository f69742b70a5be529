"""The folder of all state: made private, held by one `duetime up` at a time, with a log for each part."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli import logs
from cli.console import Refused, complain
from cli.os_account import AS_STARTED, Account
from cli.postgres_binaries import prepare_home, server_account
from cli.postgres_errors import PostgresUnavailable, cure_of


class DataFolder:
    """The folder and the places in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.postgres = path / "postgres"
        self.logs = path / "logs"
        self.processes = path / "processes.json"
        self.births = path / "births.json"
        self.secret_keys = path / "secret-keys"
        self.prefect_auth = path / "prefect-auth"
        self.worker_password = path / "worker-password"
        self.worker_home = path / "worker"
        self._lock = path / "lock"

    @contextmanager
    def held(self, *, with_postgres: bool, workers: Account = AS_STARTED) -> Iterator[None]:
        """Makes what is missing, and holds it until the block ends or this process dies, however it dies.

        Raises:
            Refused: it can't be written to, or another `duetime up` holds it.
        """
        try:
            self._prepare(with_postgres=with_postgres, workers=workers)
            lock = os.open(self._lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._refusal(error) from error
        try:
            self._take(lock)
            yield
        finally:
            os.close(lock)

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(lock, b"%-10d" % os.getpid(), 0)
        except BlockingIOError as error:
            holder = os.pread(lock, 10, 0).decode(errors="replace").strip()
            raise Refused(
                f"Another `duetime up` (pid {holder or 'unknown'}) uses {self.path}. Stop it, or choose another "
                "folder with --data-dir, and other ports with --port and --prefect-port."
            ) from error
        except OSError as error:
            raise self._refusal(error) from error

    def _prepare(self, *, with_postgres: bool, workers: Account) -> None:
        # As root PostgreSQL runs as another user, who has to be able to pass through, and so may workers.
        postgres = server_account(self.postgres / "data") if with_postgres else AS_STARTED
        others = [(whose, each) for whose, each in (("PostgreSQL", postgres), ("a worker", workers)) if each.uid]
        try:
            for whose, each in others or [("", AS_STARTED)]:
                prepare_home(self.path, each, whose=whose)
        except PostgresUnavailable as error:
            raise Refused(str(error)) from error
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def _refusal(self, error: OSError) -> Refused:
        cure = cure_of(str(error)) or "Choose another --data-dir."
        return Refused(f"The data folder {self.path} can't be used: {error}. {cure}")

    def log_of(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def open_log(self, part: str) -> int:
        """The log to append to, as a file descriptor: where there is none to be had, what is printed is dropped."""
        try:
            return logs.open_to_append(self.log_of(part))
        except OSError as error:
            complain(f"{self.log_of(part)} can't be written, so what {part} prints is lost: {error}")
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def bound_logs(self) -> None:
        """Begins the logs anew that have grown too long. Raises OSError."""
        for log in self.logs.glob("*.log"):
            logs.bound(log)

    def last_lines(self, part: str, *, since_byte: int = 0, count: int = 5) -> list[str]:
        """What the part printed last."""
        lines = logs.tail(self.log_of(part), since_byte=since_byte).splitlines()
        return [line for line in lines if line.strip()][-count:]

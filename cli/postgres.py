"""The embedded PostgreSQL: one server per folder, started by whoever comes first and shared by all who follow."""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import errors, sql

from cli import logs
from cli.os_account import Account
from cli.postgres_binaries import find_programs, prepare_home, server_account
from cli.postgres_cluster import Cluster, serves
from cli.postgres_errors import PostgresUnavailable, cures_for, unavailable
from cli.postgres_launch import Launch, launch
from db.connections import PATIENT, connect

__all__ = ["EmbeddedPostgres", "PostgresUnavailable", "ensure_database"]

POLL_SECONDS = 0.1
IMMEDIATE_STOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """The server whose data, password, port and log are in `home`; `settings` are added to its command line.

    With `ends_with_us` a server that this started is stopped when the thread that started it dies, on Linux.
    """

    home: Path
    settings: tuple[tuple[str, str], ...] = ()
    ends_with_us: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", self.home.expanduser().resolve())

    @property
    def _cluster(self) -> Cluster:
        return Cluster(self.home)

    def start(self, timeout_seconds: float = 300) -> str:
        """Starts the server, or attaches to the one that runs, and returns its url once it answers.

        The default is long because recovery after a crash takes minutes on a busy disk; after a timeout the server
        is left to go on recovering. Raises PostgresUnavailable, with a cure.
        """
        deadline = time.monotonic() + timeout_seconds
        with cures_for(self.home):
            account = server_account(self._cluster.data)
            prepare_home(self.home, account)
            with self._start_lock(deadline):
                if not self._cluster.data.exists():
                    self._cluster.create(find_programs(self.home, account), account)
                self._run_until_it_answers(account, deadline)
        return self.url()

    def stop(self, timeout_seconds: float = 15) -> None:
        """Returns when the server is gone: by a fast shutdown, and if that takes too long by an immediate one."""
        with cures_for(self.home):
            pid = self.pid()
            if pid is None:
                return
            for how, patience_seconds in ((signal.SIGINT, timeout_seconds), (signal.SIGQUIT, IMMEDIATE_STOP_SECONDS)):
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
                if _wait_until(lambda: not serves(pid, self._cluster.data), time.monotonic() + patience_seconds):
                    return
        raise unavailable(f"PostgreSQL (pid {pid}) does not stop. Its disk may hang: see {self._cluster.log}.")

    def bound_log(self) -> None:
        """Begins the server's log anew if it has grown too long. Raises OSError."""
        logs.bound(self._cluster.log)

    def pid(self) -> int | None:
        """The server's first process, if it is alive and really serves this folder."""
        return self._cluster.server_pid()

    def url(self, database: str = "postgres") -> str:
        """Where to connect to, with the password; PostgresUnavailable before the first start."""
        return self._cluster.url(database)

    @contextmanager
    def _start_lock(self, deadline: float) -> Iterator[None]:
        path = self.home / "lock"
        path.touch(mode=0o600)
        with path.open("a") as lock:
            if not _wait_until(lambda: _locked(lock.fileno()), deadline):
                raise unavailable(f"Another process is still starting PostgreSQL in {self.home}. Try again later.")
            yield

    def _run_until_it_answers(self, account: Account, deadline: float) -> None:
        latest: Launch | None = None
        try:
            while (problem := self._problem()) is not None:
                if time.monotonic() > deadline:
                    raise unavailable(f"PostgreSQL in {self.home} does not answer: {problem}", self._cluster.log_tail())
                if self.pid() is None and (latest is None or latest.is_over()):
                    latest = self._launch(account)
                time.sleep(POLL_SECONDS)
        except (KeyboardInterrupt, SystemExit):
            if latest is not None:
                latest.process.send_signal(signal.SIGINT)
            raise

    def _launch(self, account: Account) -> Launch:
        programs = find_programs(self.home, account)
        return launch(self._cluster, programs, account, self.settings, ends_with_us=self.ends_with_us)

    def _problem(self) -> str | None:
        """Why the server doesn't answer yet; None when it does."""
        if self.pid() is None:
            return "it does not run"
        if (status := self._cluster.server_status()) != "ready":
            return f"it is {status}"
        try:
            connect(self.url(), application_name="duetime-up", require_auth="scram-sha-256").close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise unavailable(f"The server refuses {self._cluster.password}: put the right one back.") from error
            return str(error)
        return None


def ensure_database(server_url: str, name: str) -> None:
    """Creates the database on any server unless it is there; two may do so at once.

    Raises PostgresUnavailable when the server doesn't answer or the role may not create databases.
    """
    try:
        with connect(server_url, application_name="duetime-up", limits=PATIENT, autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except (errors.DuplicateDatabase, errors.UniqueViolation):
        return  # somebody was first
    except errors.InsufficientPrivilege as error:
        cure = f'Create it yourself (CREATE DATABASE "{name}") or let the role do it (ALTER ROLE ... CREATEDB).'
        raise unavailable(f"The role may not create the database {name!r}. {cure}") from error
    except psycopg.OperationalError as error:
        raise unavailable(f"PostgreSQL does not answer: {error}. Is it running, and is its url right?") from error


def _wait_until(done: Callable[[], bool], deadline: float) -> bool:
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

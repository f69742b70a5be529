"""The files of an embedded PostgreSQL: data, password, port and log, and whether a living server serves them."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from cli import logs
from cli.os_account import Account
from cli.postgres_errors import unavailable

# Not the caller's: it may hold secrets, and another language than the one these modules read in the log.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
# The builtin locale sorts the same on every machine and after every upgrade of the C library.
CLUSTER = (
    "--username=postgres",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
NO_PROCESS = 2_147_483_647  # above the highest pid of any system


@dataclass(frozen=True, slots=True)
class Cluster:
    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def password(self) -> Path:
        return self.home / "password"

    @property
    def port(self) -> Path:
        return self.home / "port"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    def url(self, database: str) -> str:
        try:
            password, port = self.password.read_text(), int(self.port.read_text())
        except (OSError, ValueError) as error:
            cure = "Start it first, as this user; a lost password file has to come back from a backup."
            raise unavailable(f"The embedded PostgreSQL in {self.home} has no url: {error}. {cure}") from error
        return f"postgresql://postgres:{quote(password, safe='')}@127.0.0.1:{port}/{quote(database, safe='')}"

    def create(self, programs: Path, account: Account) -> None:
        """Makes the data beside its place, so that a creation cut short leaves nothing half-made."""
        part, password = self.home / "data.part", secrets.token_urlsafe(24)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        write_private(self.password, password)
        with _lent(self.home / "password.lent", password, account) as lent:
            if account.uid is not None and account.gid is not None:
                os.chown(part, account.uid, account.gid)
            _initdb(programs, account, part, lent)
        _publish(part, self.data)

    def server_pid(self) -> int | None:
        """The first process of the server, if it is alive and really serves this data."""
        with suppress(ValueError, IndexError):
            pid = abs(int(self._pid_file_lines()[0]))
            return pid if serves(pid, self.data) else None
        return None

    def server_status(self) -> str:
        """What the server says of itself: starting, ready, stopping."""
        lines = self._pid_file_lines()
        return lines[7].strip() if len(lines) > 7 else "starting"

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def forget_dead_server(self) -> None:
        """Clears the way after a server that was killed: its pid may by now be that of another process."""
        _end_orphans(self.data)
        pid_file = self.data / "postmaster.pid"
        with suppress(FileNotFoundError):
            _, newline, rest = pid_file.read_bytes().partition(b"\n")
            if newline:
                # Not deleted: it names the shared memory by which PostgreSQL knows that orphans still use the data.
                _overwrite(pid_file, str(NO_PROCESS).encode() + newline + rest)
            else:
                pid_file.unlink()
        for socket_file in self.data.glob(".s.PGSQL.*"):
            socket_file.unlink(missing_ok=True)

    def open_log(self) -> int:
        """The log to append to, as a file descriptor."""
        return logs.open_to_append(self.log)

    def log_tail(self, since_byte: int = 0) -> str:
        return logs.tail(self.log, since_byte=since_byte)


def serves(pid: int, data: Path) -> bool:
    """A living pid is not enough: after a reboot or a container's restart it may be anybody's."""
    try:
        process = psutil.Process(pid)
        return process.name().startswith("postgres") and _works_in(process, data)
    except (psutil.Error, OSError):
        return False


def _works_in(process: psutil.Process, data: Path) -> bool:
    try:
        return os.path.samefile(process.cwd(), data)
    except psutil.AccessDenied:
        # In a container root may not see the folder of another user's process; the command line is open to all.
        return str(data) in process.cmdline()


def _end_orphans(data: Path) -> None:
    """Ends the children of a killed server as it would have done: a busy one would keep the data locked for long."""
    for pid in psutil.pids():
        if serves(pid, data):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)


def _overwrite(path: Path, content: bytes) -> None:
    """In place and at once, for it belongs to the server's user; who, if broken into, must not lead us elsewhere."""
    file = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.write(file, content)
    finally:
        os.close(file)


def write_private(path: Path, text: str) -> None:
    """Writes the whole text or nothing, for the owner's eyes only, and on the disk before it returns."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _publish(part, path)


def _publish(part: Path, whole: Path) -> None:
    part.rename(whole)
    folder = os.open(whole.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _lent(path: Path, text: str, account: Account) -> Iterator[Path]:
    write_private(path, text)
    try:
        if account.uid is not None and account.gid is not None:
            os.chown(path, account.uid, account.gid)
        yield path
    finally:
        path.unlink()


def _initdb(programs: Path, account: Account, data: Path, password: Path) -> None:
    done = subprocess.run(
        [programs / "initdb", "--pgdata", data, "--pwfile", password, *CLUSTER],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        env=ENVIRONMENT,
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
    )
    if done.returncode != 0:
        raise unavailable(f"PostgreSQL could not make its data in {data.parent}.", done.stdout)

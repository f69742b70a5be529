"""One launch of the embedded PostgreSQL's server program: its command line, its port, and why it ended if it did."""

import os
import random
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cli.leash import end_with_parent
from cli.os_account import Account
from cli.postgres_cluster import ENVIRONMENT, Cluster, write_private
from cli.postgres_errors import unavailable
from db import loops

SETTINGS = (
    ("listen_addresses", "127.0.0.1"),
    ("max_connections", "200"),
    ("shared_buffers", "128MB"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
)
# Below the ports of outgoing connections, one of which could sit on ours while the server restarts.
PORTS = range(20_000, 32_000)
SOCKET_PATH_BYTES = 103
# The first ends with the orphans of a killed server, the second with another port.
PASSING_PROBLEMS = ("pre-existing shared memory block", "could not create any TCP/IP sockets")


@dataclass(frozen=True, slots=True)
class Launch:
    cluster: Cluster
    process: subprocess.Popen[bytes]
    log_start: int

    def is_over(self) -> bool:
        """True when it ended for a reason that passes, so that another one may work; raises for any other reason."""
        if self.process.poll() is None:
            return False
        said = self.cluster.log_tail(self.log_start)
        if any(problem in said for problem in PASSING_PROBLEMS):
            return True
        raise unavailable(f"PostgreSQL in {self.cluster.home} ended as it started. See {self.cluster.log}.", said)


def launch(
    cluster: Cluster, programs: Path, account: Account, settings: tuple[tuple[str, str], ...], *, ends_with_us: bool
) -> Launch:
    """Starts the program; nobody else may be starting it."""
    cluster.forget_dead_server()
    port = _free_port(cluster.port)
    write_private(cluster.port, str(port))
    log = cluster.open_log()
    try:
        log_start = os.fstat(log).st_size
        process = subprocess.Popen(
            [programs / "postgres", "-D", cluster.data, *_options(cluster.data, port, settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,  # the Ctrl-C of a terminal is for who started it
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
            # Not by a program in between: the server's account may be unable to reach ours.
            preexec_fn=_end_with_parent if ends_with_us else None,
        )
    finally:
        os.close(log)
    # Somebody has to take its exit status, or once dead it would look alive.
    loops.thread("postgres-exit", process.wait)
    return Launch(cluster, process, log_start)


def _end_with_parent() -> None:
    end_with_parent(signal.SIGINT)  # a fast shutdown


def _options(data: Path, port: int, settings: tuple[tuple[str, str], ...]) -> list[str]:
    everything = (*SETTINGS, ("port", str(port)), ("unix_socket_directories", _socket_folder(data, port)), *settings)
    return [word for name, value in everything for word in ("-c", f"{name}={value}")]


def _socket_folder(data: Path, port: int) -> str:
    """The data folder, quoted as PostgreSQL wants it; none, where systems cut so long a path."""
    if len(os.fsencode(data / f".s.PGSQL.{port}")) > SOCKET_PATH_BYTES:
        return ""
    quoted = str(data).replace('"', '""')
    return f'"{quoted}"'


def _free_port(last: Path) -> int:
    """The port of last time while it is free; other programs have it in their settings."""
    text = last.read_text() if last.exists() else ""
    known = [int(text)] if text.isdecimal() and 0 < int(text) < 65536 else []
    candidates = [*known, *random.sample(PORTS, 100)]
    port = next((port for port in candidates if _is_free(port)), None)
    if port is None:
        raise unavailable(f"No free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}: end what holds them.")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""`duetime up` as a process: what it refuses, and that it leaves nothing behind when it is stopped."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cli.census import Census
from cli.data_folder import DataFolder
from cli.parts import Role
from cli.postgres import EmbeddedPostgres
from cli.stopping import Stopping
from cli.supervision import Supervisor
from tests.cli.test_supervision import is_gone
from tests.system import DUETIME, free_port
from tests.waiting import wait_until


@contextmanager
def up(folder: Path, *words: str, **environ: str) -> Iterator["subprocess.Popen[str]"]:
    """It is killed in the end, should it still run."""
    ports = ("--port", str(free_port()), "--prefect-port", str(free_port()))
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("DUETIME_", "PREFECT_"))}
    with subprocess.Popen(
        [DUETIME, "up", "--data-dir", folder / "data", *ports, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=plain | environ,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def refused(folder: Path, *words: str, code: int = 1, **environ: str) -> str:
    """What it says as it refuses to start."""
    with up(folder, *words, **environ) as process:
        out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, ""), said
    return said


@pytest.mark.parametrize("option", ["--port", "--prefect-port"])
def test_a_port_in_use_is_refused_before_anything_is_started(folder: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = refused(folder, option, str(port))
    assert f"Port {port} on 127.0.0.1 is in use by " in said
    assert f"(pid {os.getpid()})" in said
    assert f"with {option}." in said
    assert not (folder / "data" / "postgres").exists()


def test_an_address_that_others_reach_is_refused_without_credentials(folder: Path) -> None:
    assert "DUETIME_PASSWORD" in refused(folder, "--host", "0.0.0.0")  # noqa: S104
    assert not (folder / "data").exists()


def test_what_it_does_not_understand_ends_with_2(folder: Path) -> None:
    assert "--workers" in refused(folder, "--workers", "many", code=2)
    assert "DUETIME_WORKERS" in refused(folder, code=2, DUETIME_WORKERS="many")


def test_a_folder_in_use_is_refused(folder: Path) -> None:
    with DataFolder(folder / "data").held(with_postgres=True):
        assert f"Another `duetime up` (pid {os.getpid()})" in refused(folder)


def test_a_database_that_does_not_let_us_in_is_said_so(folder: Path, postgres_url: str) -> None:
    server = postgres_url.rpartition("@")[2].partition("/")[0]
    with up(folder, "--database-url", f"postgresql://postgres:wrong@{server}/duetime") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "password authentication failed" in said
    assert "--database-url" in said
    assert "wrong" not in said


def test_stopped_while_it_starts_it_leaves_nothing_behind(folder: Path) -> None:
    with up(folder) as process:
        processes = folder / "data" / "processes.json"
        wait_until(processes.exists, "the first part")
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert out.endswith("Stopping\nStopped\n")
    assert "duetime ready" not in out
    wait_until(lambda: all(is_gone(each) for each in started), "everything to be gone", seconds=20)


def test_postgresql_is_started_again_after_its_death(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = DataFolder(folder / "data")
    with place.held(with_postgres=True):
        postgres = EmbeddedPostgres(place.postgres)
        supervisor = Supervisor(place, Stopping(), postgres)
        supervisor.start_postgres(postgres)
        before = postgres.pid()
        assert before is not None
        os.kill(before, signal.SIGKILL)

        def started_again() -> bool:
            supervisor.one_pass()
            return postgres.pid() not in (None, before)

        wait_until(started_again, "another server")
        assert "postgres ended; it is started again now" in capsys.readouterr().out
        census = Census()
        census.count({Role.POSTGRES: [postgres.pid() or 0]})
        assert len(census.pids[Role.POSTGRES]) > 1
        supervisor.stop()
        assert postgres.pid() is None

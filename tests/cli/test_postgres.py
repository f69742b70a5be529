"""The embedded PostgreSQL survives what happens to machines."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from cli.postgres import EmbeddedPostgres, PostgresUnavailable

ROOT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0
START = "import sys; from pathlib import Path; from cli.postgres import EmbeddedPostgres as E; "


def wait_until(done: Callable[[], bool], description: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"in vain: {description}"
        time.sleep(0.05)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, stderr=None, text=True
    )


def remember(server: EmbeddedPostgres, word: str) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS memory (word text)")
        connection.execute("INSERT INTO memory VALUES (%s)", [word])


def remembered(server: EmbeddedPostgres) -> list[str]:
    with psycopg.connect(server.url()) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM memory ORDER BY word")]


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def test_data_survives_a_stop_and_a_start_on_the_same_port(server: EmbeddedPostgres) -> None:
    first_url = server.start()
    remember(server, "kept")
    server.stop()
    assert server.pid() is None
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(first_url)
    assert server.start() == first_url
    assert remembered(server) == ["kept"]


def test_a_second_start_attaches_to_the_running_server(running: EmbeddedPostgres) -> None:
    url, pid = running.start(), running.pid()
    again = EmbeddedPostgres(running.home)
    assert (again.start(), again.pid()) == (url, pid)
    assert pid is not None


def test_stopping_what_does_not_run_is_no_error(server: EmbeddedPostgres) -> None:
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert server.pid() is None


def test_a_fast_shutdown_that_hangs_becomes_an_immediate_one(server: EmbeddedPostgres) -> None:
    server.start()
    remember(server, "kept")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        os.kill(row[0], signal.SIGSTOP)  # a backend that can't hear the shutdown request
        server.stop(timeout_seconds=0.5)
        assert server.pid() is None
    server.start()
    assert remembered(server) == ["kept"]


def test_two_processes_that_start_at_once_share_one_server(server: EmbeddedPostgres) -> None:
    code = START + "s = E(Path(sys.argv[1])); print(s.start(), s.pid())"
    starters = [python(code, server.home) for _ in range(3)]
    answers = {starter.communicate(timeout=120)[0] for starter in starters}
    assert [starter.returncode for starter in starters] == [0, 0, 0]
    assert answers == {f"{server.url()} {server.pid()}\n"}


def test_the_server_outlives_a_killed_starter_and_is_found_again(server: EmbeddedPostgres) -> None:
    starter = python(START + "s = E(Path(sys.argv[1])); s.start(); print(s.pid(), flush=True); input()", server.home)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.communicate()
    server.start()
    assert server.pid() == pid


def test_a_ctrl_c_in_the_terminal_of_the_starter_does_not_reach_the_server(running: EmbeddedPostgres) -> None:
    pid = running.pid()
    assert pid is not None
    assert os.getsid(pid) == os.getpgid(pid) == pid


def test_a_starter_that_is_interrupted_leaves_no_server_behind(server: EmbeddedPostgres) -> None:
    interrupt_before_it_answers = (
        "import cli.postgres\ndef connect(*a, **k): raise KeyboardInterrupt\ncli.postgres.connect = connect\n"
    )
    starter = python(START + interrupt_before_it_answers + "E(Path(sys.argv[1])).start()", server.home)
    starter.communicate(timeout=60)
    assert starter.returncode != 0
    wait_until(lambda: server.pid() is None, "the server ends")
    assert "shut down" in (server.home / "postgres.log").read_text()


def test_a_killed_postmaster_is_replaced_and_the_data_is_there(server: EmbeddedPostgres) -> None:
    url = server.start()
    remember(server, "kept")
    killed = server.pid()
    kill(killed)
    wait_until(lambda: server.pid() is None, "a killed server counts as gone")
    assert server.start() == url
    assert server.pid() != killed
    assert remembered(server) == ["kept"]


def test_a_backend_busy_for_hours_does_not_delay_the_start_after_a_kill(server: EmbeddedPostgres) -> None:
    server.start()
    busy = psycopg.connect(server.url(), autocommit=True, options="-c statement_timeout=60s")
    endless = "DO $$ BEGIN LOOP NULL; END LOOP; END $$"
    with ThreadPoolExecutor() as threads:
        query = threads.submit(busy.execute, endless)
        wait_until(lambda: _is_active(server, "LOOP"), "the query runs")
        kill(server.pid())
        server.start(timeout_seconds=20)
        assert isinstance(query.exception(timeout=30), psycopg.OperationalError)
    busy.close()


def _is_active(server: EmbeddedPostgres, words: str) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()"
    with psycopg.connect(server.url()) as connection:
        return connection.execute(query, [f"%{words}%"]).fetchone() is not None


@pytest.fixture
def stranger(server: EmbeddedPostgres) -> Iterator[int]:
    """A living process of the server's own user, whose pid a reboot has given to it."""
    server.start()
    owner = (server.home / "data").stat()
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if AS_ROOT else {}
    process = subprocess.Popen(["/bin/sleep", "600"], cwd="/", **identity)  # type: ignore[call-overload]
    yield process.pid
    process.kill()
    process.wait()


def test_a_pid_file_that_names_a_living_stranger_hinders_nothing(server: EmbeddedPostgres, stranger: int) -> None:
    remember(server, "kept")
    data = server.home / "data"
    pid_file, killed = data / "postmaster.pid", server.pid()
    locks = list(data.glob(".s.PGSQL.*.lock"))
    assert locks
    kill(killed)
    for file in (pid_file, *locks):
        file.write_text(re.sub(rf"\A{killed}\n", f"{stranger}\n", file.read_text()))
    assert server.pid() is None
    server.stop()
    server.start()
    assert remembered(server) == ["kept"]
    os.kill(stranger, 0)


def test_an_empty_pid_file_hinders_nothing(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (server.home / "data" / "postmaster.pid").touch()
    server.start()
    assert server.pid() is not None


def test_a_pid_file_that_leads_elsewhere_is_not_written_through(folder: Path, server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (folder / "elsewhere").write_text("precious\nwords\n")
    (server.home / "data" / "postmaster.pid").symlink_to(folder / "elsewhere")
    with pytest.raises(PostgresUnavailable):
        server.start()
    assert (folder / "elsewhere").read_text() == "precious\nwords\n"


def test_a_creation_cut_short_is_begun_anew(server: EmbeddedPostgres) -> None:
    part = server.home / "data.part"
    part.mkdir(parents=True)
    server.home.chmod(0o755)
    (part / "PG_VERSION").write_text("18")
    (server.home / "password.lent.part").write_text("half")
    server.start()
    assert not part.exists()
    assert not list(server.home.glob("password.*"))

"""An embedded PostgreSQL that belongs to one process alone does not outlive it."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.postgres import EmbeddedPostgres
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
START = "import sys; from pathlib import Path; from cli.postgres import EmbeddedPostgres as E\n"
START += "E(Path(sys.argv[1]), ends_with_us=bool(sys.argv[2])).start(); print('started', flush=True); sys.stdin.read()"


def start_and_be_killed(server: EmbeddedPostgres, *, ends_with_us: bool) -> None:
    words = [sys.executable, "-c", START, str(server.home), "yes" if ends_with_us else ""]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "started\n"
        owner.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_it_is_shut_down_in_order_when_its_owner_is_killed(server: EmbeddedPostgres) -> None:
    start_and_be_killed(server, ends_with_us=True)
    wait_until(lambda: server.pid() is None, "the server to be gone")
    assert "database system is shut down" in (server.home / "postgres.log").read_text()
    server.start()


def test_otherwise_it_goes_on_for_the_others(server: EmbeddedPostgres) -> None:
    start_and_be_killed(server, ends_with_us=False)
    pid = server.pid()
    assert pid is not None
    server.start()
    assert server.pid() == pid

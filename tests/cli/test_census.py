"""Which processes belong to which part, and what a kill leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cli.census import Census, descendants, end_leftovers
from cli.parts import Role
from tests.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]
DEAF = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); "]
DEAF[-1] += "time.sleep(300)"


def test_descendants_are_the_roots_and_everything_below() -> None:
    parents = {1: 0, 2: 1, 3: 2, 4: 2, 5: 4, 6: 1, 7: 6}
    assert descendants([2], parents) == [2, 3, 4, 5]
    assert descendants([4, 6], parents) == [4, 5, 6, 7]
    assert descendants([9], parents) == []
    assert descendants([], parents) == []


def test_a_part_is_counted_with_its_children_and_up_with_itself_alone() -> None:
    code = f"import subprocess, sys; subprocess.Popen({SLEEP!r}).wait()"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        [child] = wait_until(lambda: psutil.Process(parent.pid).children(), "a child")
        census = Census()
        assert census.count({Role.WORKER: [parent.pid]})
        assert census.pids[Role.WORKER] == sorted([parent.pid, child.pid])
        assert census.pids[Role.UP] == [os.getpid()]
        assert census.pids[Role.PREFECT] == []
        assert census.births() == {p.pid: p.create_time() for p in (psutil.Process(parent.pid), child)}
        assert not census.count({Role.WORKER: [parent.pid]})
        child.kill()
        parent.kill()


@pytest.mark.parametrize("command", [SLEEP, DEAF], ids=["willing", "deaf"])
def test_leftovers_are_ended_even_if_they_do_not_listen(command: list[str], tmp_path: Path) -> None:
    births = tmp_path / "births.json"
    with subprocess.Popen(command, stdout=subprocess.PIPE) as leftover:
        if command is DEAF:
            assert leftover.stdout is not None
            assert leftover.stdout.readline() == b"deaf\n"
        births.write_text(json.dumps({leftover.pid: psutil.Process(leftover.pid).create_time()}))
        assert end_leftovers(births, patience_seconds=0.5) == 1
        wait_until(lambda: leftover.poll() is not None, "its end", seconds=20)


def test_a_pid_that_went_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    births = tmp_path / "births.json"
    with subprocess.Popen(SLEEP) as stranger:
        births.write_text(json.dumps({stranger.pid: psutil.Process(stranger.pid).create_time() - 60}))
        assert end_leftovers(births) == 0
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"a": 1}', '{"1": null}'])
def test_a_record_that_cannot_be_read_ends_nothing(text: str | None, tmp_path: Path) -> None:
    births = tmp_path / "births.json"
    if text is not None:
        births.write_text(text)
    assert end_leftovers(births) == 0

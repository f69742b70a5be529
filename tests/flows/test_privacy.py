"""What a worker was told is not read from the kernel by the tasks of the same user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.privacy import keep_to_itself

ROOT = Path(keep_to_itself.__code__.co_filename).parents[1]
OTHER = 65_533
"""Whom root makes of the two: it reads everything. The kernel hides who becomes another, so that is taken back."""
PROGRAM = f"""
import ctypes, os, sys
from flows.privacy import PR_SET_DUMPABLE, keep_to_itself
if os.geteuid() == 0:
    os.setgroups([]), os.setgid({OTHER}), os.setuid({OTHER})
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
if sys.argv[1] == "hidden":
    keep_to_itself()
print("here", flush=True)
sys.stdin.read()
"""


def is_read(how: str) -> bool:
    """Whether a program of the same user reads the environment of such a process."""
    other = OTHER if os.geteuid() == 0 else None
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how],
        cwd=ROOT,
        env={"PATH": os.defpath, "TOLD": "the password"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"here\n"
        task = subprocess.run(
            ["/bin/cat", f"/proc/{worker.pid}/environ"],
            capture_output=True,
            check=False,
            user=other,
            group=other,
            extra_groups=None if other is None else [],
        )
        worker.kill()
    return b"TOLD=the password" in task.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such file")
def test_a_task_does_not_read_what_its_worker_was_told() -> None:
    assert is_read("open")
    assert not is_read("hidden")

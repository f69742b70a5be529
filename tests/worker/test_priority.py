"""A process that gives way, as the kernel sees it."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pendulum
import pytest

from flows.prefect_app import _since
from flows.priority import AUTOGROUP, GIVES_WAY

SHOWN = """
import os
from flows.priority import give_way
from tests.worker.test_priority import priority_of_session
print(os.nice(0), priority_of_session())
give_way()
print(os.nice(0), priority_of_session())
"""


def priority_of_session() -> str:
    """The priority of this process's session; the file is empty where the kernel shares between processes alone."""
    words = AUTOGROUP.read_text().split() if AUTOGROUP.exists() else []
    return words[-1] if words else "no sessions"


@pytest.mark.parametrize("own_session", [True, False])
def test_only_a_session_of_its_own_is_set_back(own_session: bool) -> None:
    """Compared within that process: the session that it was started from may have another priority, or none."""
    done = subprocess.run(
        [sys.executable, "-c", SHOWN], start_new_session=own_session, capture_output=True, text=True, check=True
    )
    (nice, session), after = (line.split(maxsplit=1) for line in done.stdout.splitlines())
    set_back = str(GIVES_WAY) if own_session and session != "no sessions" else session
    assert after == [str(min(19, int(nice) + GIVES_WAY)), set_back]


def test_instants_are_as_far_apart_as_before() -> None:
    instant, epoch = pendulum.datetime(2026, 3, 29, 1, 30, tz="Europe/Berlin"), datetime(2000, 1, 1, tzinfo=UTC)
    for other in (epoch, epoch.astimezone(timezone(timedelta(hours=9)))):
        assert _since(instant, other) == instant - pendulum.instance(other)
    assert isinstance(_since(instant, instant.add(days=1)), pendulum.Interval)
    assert _since(instant, timedelta(hours=1)) == instant.subtract(hours=1)

"""What a container's health check answers."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cli.health import RECONCILER_SILENT_AFTER, reconciler_is_well, worker_is_well
from db import heartbeats, workers
from db.engine import Catalogue
from tests.system import free_port

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def add_worker(catalogue: Catalogue, *, host: str, now: datetime) -> None:
    with catalogue.transaction() as session:
        workers.register(session, worker_id=uuid4(), name="w", work_pool="default", host=host, pid=7, now=now)


def well(catalogue: Catalogue, *, now: datetime, host_started_at: datetime) -> bool:
    with catalogue.transaction() as session:
        return worker_is_well(session, now=now, host="here", host_started_at=host_started_at)


def ask(part: str, url: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.health", part],
        env=os.environ | {"DUETIME_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_worker_is_well_from_its_start_until_it_is_silent_for_too_long(catalogue: Catalogue) -> None:
    boot = NOW - 5 * SECOND
    assert not well(catalogue, now=NOW, host_started_at=boot)
    add_worker(catalogue, host="here", now=NOW)
    assert well(catalogue, now=NOW + SECOND, host_started_at=boot)
    assert not well(catalogue, now=NOW + workers.LOST_AFTER + SECOND, host_started_at=boot)


def test_the_worker_of_another_host_says_nothing_of_this_one(catalogue: Catalogue) -> None:
    add_worker(catalogue, host="elsewhere", now=NOW)
    assert not well(catalogue, now=NOW, host_started_at=NOW - SECOND)


def test_a_worker_from_before_its_host_was_restarted_says_nothing(catalogue: Catalogue) -> None:
    add_worker(catalogue, host="here", now=NOW)
    assert not well(catalogue, now=NOW + 2 * SECOND, host_started_at=NOW + SECOND)


def test_the_reconciler_is_well_while_somebody_holds_its_lease(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        assert not reconciler_is_well(session, now=NOW)
        heartbeats.hold_lease(session, heartbeats.RECONCILER, uuid4(), now=NOW)
        assert reconciler_is_well(session, now=NOW + SECOND)
        assert not reconciler_is_well(session, now=NOW + RECONCILER_SILENT_AFTER + SECOND)


def test_the_exit_code_tells(catalogue: Catalogue) -> None:
    before = ask("worker", catalogue.url)
    assert (before.returncode, before.stdout) == (1, "The worker was not heard of lately.\n")
    add_worker(catalogue, host=socket.gethostname(), now=datetime.now(UTC))
    after = ask("worker", catalogue.url)
    assert (after.returncode, after.stdout, after.stderr) == (0, "well\n", "")


@pytest.mark.parametrize("part", ["worker", "reconciler"])
def test_nobody_is_well_while_postgresql_is_away(part: str) -> None:
    answer = ask(part, f"postgresql://duetime@127.0.0.1:{free_port()}/duetime")
    assert answer.returncode == 1
    assert "PostgreSQL" in answer.stdout, answer


def test_an_unknown_part_is_refused() -> None:
    assert ask("kitchen", "postgresql://nowhere/").returncode == 2

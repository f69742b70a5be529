"""A start believes only in what was heard of since. The parts that would beat are played by the tests."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cli.arrivals import everybody_is_here
from db import heartbeats, workers
from db.engine import Catalogue

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def heard_of(catalogue: Catalogue, part: str, *, at: datetime) -> None:
    with catalogue.transaction() as session:
        if part == "worker":
            workers.register(session, worker_id=uuid4(), name="w", work_pool="default", host="here", pid=1, now=at)
        else:
            heartbeats.beat(session, part, now=at)


def here(catalogue: Catalogue) -> bool:
    with catalogue.transaction() as session:
        return everybody_is_here(session, since=START, now=START + 5 * SECOND)


@pytest.mark.parametrize("late", ["prefect", "reconciler", "worker"])
def test_whoever_was_heard_of_before_the_start_only_is_not_here(catalogue: Catalogue, late: str) -> None:
    assert not here(catalogue)
    for part in ("prefect", "reconciler", "worker"):
        heard_of(catalogue, part, at=START - SECOND if part == late else START + SECOND)
    assert not here(catalogue)
    heard_of(catalogue, late, at=START + 2 * SECOND)
    assert here(catalogue)


def test_it_ends_when_the_last_one_arrives(catalogue: Catalogue) -> None:
    began_at = datetime.now(UTC)
    for part in ("prefect", "reconciler"):
        heard_of(catalogue, part, at=began_at)
    words = [sys.executable, "-m", "cli.arrivals", began_at.isoformat()]
    with subprocess.Popen(words, env=os.environ | {"DUETIME_DATABASE_URL": catalogue.url}) as waiting:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(3)
            heard_of(catalogue, "worker", at=datetime.now(UTC))
            assert waiting.wait(20) == 0
        finally:
            waiting.kill()

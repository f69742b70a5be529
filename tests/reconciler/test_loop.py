"""The loop, as a thread of its own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.orm import Session

from db import workers
from db.clock import Clock
from db.engine import Catalogue
from db.heartbeats import LEASE, RECONCILER, hold_lease, last
from reconciler.lease import Lease
from reconciler.loop import Reconciler
from reconciler.prefect import Prefect
from tests.reconciler.conftest import now
from tests.waiting import wait_until

DEAD = uuid4()
"""A reconciler that was killed while it led."""


@contextmanager
def postgres_away(catalogue: Catalogue, postgres_url: str) -> Iterator[None]:
    """Nobody can connect to the catalogue's database, and nobody is connected."""
    database = sql.Identifier(catalogue.url.rpartition("/")[2])
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [catalogue.url.rpartition("/")[2]],
        )
        yield
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))


@contextmanager
def looping(reconciler: Reconciler) -> Iterator[None]:
    thread = threading.Thread(target=reconciler.run)
    thread.start()
    try:
        yield
    finally:
        reconciler.stop()
        thread.join(30)


def test_workers_get_time_to_be_heard_again_after_postgresql_was_away(
    catalogue: Catalogue, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LOST_AFTER", timedelta(seconds=10))
    nowhere = Prefect("http://127.0.0.1:9/api")
    worker = uuid4()
    with catalogue.transaction() as session:
        workers.register(session, worker_id=worker, name="w", work_pool="default", host="here", pid=1, now=now())

    def beat() -> bool:
        with catalogue.transaction() as session:
            return workers.beat(session, worker, now=now())

    def last_lease() -> float:
        with catalogue.transaction() as session:
            row = last(session, RECONCILER)
        return row.at.timestamp() if row else 0.0

    own = Catalogue(catalogue.url)
    with looping(Reconciler(own, nowhere)):
        wait_until(lambda: last_lease() > 0, "the reconciler to lead")
        grace_is_over = time.monotonic() + 12
        while time.monotonic() < grace_is_over:
            assert beat()
            time.sleep(0.2)
        with postgres_away(catalogue, postgres_url):
            time.sleep(12)  # the outage itself, longer than a silent worker is waited for
        before = last_lease()
        wait_until(lambda: last_lease() > before, "the reconciler to lead again")
        assert beat()
    own.close()
    nowhere.close()


def leader(catalogue: Catalogue) -> str | None:
    with catalogue.transaction() as session:
        row = last(session, RECONCILER)
        return row.details["holder"] if row and now() - row.at < LEASE else None


def test_there_is_one_leader_and_a_second_reconciler_takes_over_within_ten_seconds(catalogue: Catalogue) -> None:
    nowhere = Prefect("http://127.0.0.1:9/api")
    with catalogue.transaction() as session:
        assert hold_lease(session, RECONCILER, DEAD, now=now())
    with looping(Reconciler(catalogue, nowhere)), looping(Reconciler(catalogue, nowhere)):
        assert leader(catalogue) == str(DEAD), "its lease goes on for a while"
        leads = wait_until(lambda: leader(catalogue) not in (None, str(DEAD)) and leader(catalogue), "one")
        seen = {leader(catalogue) for _ in wait_for_renewals(catalogue, 3)}
        assert seen == {leads}
    nowhere.close()


def test_one_that_is_stopped_hands_over_at_once(catalogue: Catalogue) -> None:
    nowhere = Prefect("http://127.0.0.1:9/api")
    with looping(Reconciler(catalogue, nowhere)):
        wait_until(lambda: leader(catalogue), "it to lead")
    assert leader(catalogue) is None
    nowhere.close()


def wait_for_renewals(catalogue: Catalogue, count: int) -> Iterator[None]:
    """Yields after each of so many renewals of the lease."""

    def renewed() -> float:
        with catalogue.transaction() as session:
            row = last(session, RECONCILER)
        return row.at.timestamp() if row else 0.0

    for _ in range(count):
        before = renewed()
        wait_until(lambda before=before: renewed() > before, "the lease to be renewed")  # type: ignore[misc]
        yield


class JumpingClock(Clock):
    """PostgreSQL's clock is set by an hour, once, when the test says so."""

    jump = timedelta(0)

    def compare(self, session: Session) -> timedelta:
        moved, self.jump = self.jump, timedelta(0)
        return super().compare(session) + moved


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The counter of seconds, which tests push."""
    counted = [1000.0]
    monkeypatch.setattr("reconciler.lease.counter", lambda: counted[0])
    return counted


def test_nobody_is_silent_before_everything_went_on_evenly_for_as_long(
    catalogue: Catalogue, counter: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = JumpingClock()
    monkeypatch.setattr("reconciler.lease.CLOCK", clock)
    lease = Lease(catalogue)
    for _ in range(40):
        lease.renew()
        counter[0] += 1
    assert lease.leads
    assert lease.steady_seconds == 40
    clock.jump = timedelta(hours=-1)
    lease.renew()
    assert lease.steady_seconds == 0
    counter[0] += 5
    lease.renew()
    assert lease.steady_seconds == 5
    counter[0] += LEASE.total_seconds() + 1
    assert lease.steady_seconds == 0, "PostgreSQL stands still, or the machine slept"
    lease.renew()
    assert lease.steady_seconds == 0

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

from db import workers
from db.engine import Catalogue
from db.heartbeats import RECONCILER, last
from reconciler.loop import Every, Reconciler
from reconciler.prefect import Prefect
from tests.reconciler.conftest import now
from tests.waiting import wait_until


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
    yield
    reconciler.stop()
    thread.join(30)


def test_workers_get_time_to_be_heard_again_after_postgresql_was_away(
    catalogue: Catalogue, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LOST_AFTER", timedelta(seconds=4))
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
        grace_is_over = time.monotonic() + 5
        while time.monotonic() < grace_is_over:
            assert beat()
            time.sleep(0.2)
        with postgres_away(catalogue, postgres_url):
            time.sleep(5)  # the outage itself, longer than a silent worker is waited for
        before = last_lease()
        wait_until(lambda: last_lease() > before, "the reconciler to lead again")
        assert beat()
    own.close()
    nowhere.close()


@pytest.mark.parametrize(("share", "again_after"), [(1.0, 2.0), (0.1, 30.0)])
def test_a_pass_that_took_long_is_made_again_in_time_unless_it_may_take_only_a_part_of_it(
    monkeypatch: pytest.MonkeyPatch, share: float, again_after: float
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("reconciler.loop.monotonic", lambda: clock[0])

    def slowly() -> None:
        clock[0] += 3.0

    every = Every(2.0, slowly, share=share)
    every.run_if_due()
    assert every.next_at - clock[0] == pytest.approx(again_after)

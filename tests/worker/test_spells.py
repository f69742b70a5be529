"""Spells in which the other parts are there and of no use: the worker is itself again soon after, and loses nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from db.engine import Catalogue
from db.states import RunState
from tests.conftest import as_worker
from tests.prefect_server import PROXY_HOST
from tests.proxy import Mode, Proxy, through
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace
from tests.worker.test_deaths import running

pytestmark = pytest.mark.xdist_group("prefect")
EVERY_SECOND = {"kind": "cron", "cron": "* * * * * *", "timezone": "UTC"}


@contextmanager
def read_only(catalogue: Catalogue, postgres_url: str) -> Iterator[None]:
    """What a failover shows to those who come to the standby."""
    name = catalogue.url.rpartition("/")[2]
    set_it = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    with psycopg.connect(postgres_url, autocommit=True) as admin:

        def switch(to: str) -> None:
            admin.execute(set_it.format(sql.Identifier(name), sql.SQL(to)))
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

        switch("on")
        yield
        switch("off")


def passed(seconds: float) -> None:
    """Returns when so much of the spell is over."""
    end = now() + timedelta(seconds=seconds)
    wait_until(lambda: now() > end, "the spell to take its time", seconds=seconds + 5)


def test_a_worker_loses_no_line_no_run_and_not_itself_while_postgresql_takes_no_writes(
    workplace: Workplace, postgres_url: str
) -> None:
    workplace.start_worker()
    [before] = workplace.present()
    task, run = running(workplace, "for i in $(seq 24); do echo line $i; sleep 0.5; done")
    over, _ = running(workplace, "sleep 3; exit 3", name="over")
    with read_only(workplace.catalogue, postgres_url):
        passed(8)
    assert workplace.ended(over, seconds=20)[0].exit_code == 3
    assert workplace.ended(task, seconds=20)[0].state == RunState.COMPLETED
    assert workplace.lines_of(run.id)[1:] == [f"line {number}" for number in range(1, 25)]
    [after] = workplace.present()
    assert (after.id, after.stopped_at) == (before.id, None)
    assert after.heartbeat_at > before.heartbeat_at


def test_a_worker_that_was_cut_off_from_everybody_claims_again_within_ten_seconds(workplace: Workplace) -> None:
    url, port = urlsplit(workplace.catalogue.url), workplace.server.port
    assert url.hostname
    assert url.port
    prefect = Proxy("127.0.0.1", port, at=(PROXY_HOST, port))
    with Proxy(url.hostname, url.port) as to_postgresql, prefect as to_prefect:
        worker = workplace.start_worker(
            DUETIME_DATABASE_URL=through(to_postgresql, as_worker(workplace.catalogue.url)),
            PREFECT_API_URL=f"http://{PROXY_HOST}:{port}/api",
        )
        task = workplace.world.create("each second", schedule=EVERY_SECOND, overlap="allow")
        wait_until(lambda: workplace.runs_of(task), "the first run")
        to_postgresql.mode = to_prefect.mode = Mode.SWALLOW
        passed(22)
        healed = now()
        to_postgresql.mode = to_prefect.mode = Mode.PASS

        def began_again() -> bool:
            return any(run.started_at and run.started_at > healed for run in workplace.runs_of(task))

        wait_until(began_again, "the next run to begin", seconds=10)
        assert worker.process.poll() is None

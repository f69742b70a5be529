"""One leads, and the others write nothing: looked at in each transaction, and before each call that changes Prefect."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text, update

from db import heartbeats
from db.engine import Catalogue
from db.heartbeats import LEASE, RECONCILER
from db.tables import Heartbeat
from reconciler import clock
from reconciler import lease as under_test
from reconciler.lease import Lease, LeaseLost
from reconciler.prefect import Prefect
from reconciler.tasks import deploy_changes
from tests.prefect_server import PrefectServer
from tests.proxy import Mode, Proxy
from tests.reconciler.conftest import World, now
from tests.waiting import wait_until


def take_over(catalogue: Catalogue, other: Lease) -> None:
    """The lease has not been renewed for long, and another one takes it."""
    with catalogue.transaction() as session:
        session.execute(update(Heartbeat).where(Heartbeat.part == RECONCILER).values(at=now() - LEASE * 1.5))
    other.renew()
    assert other.leads


@pytest.fixture
def leading(catalogue: Catalogue) -> Lease:
    """A process that leads, and will not renew its lease by itself."""
    lease = Lease(catalogue)
    lease.renew()
    assert lease.leads
    return lease


def test_who_lost_the_lease_writes_nothing_though_it_does_not_know_yet(catalogue: Catalogue, leading: Lease) -> None:
    mine = catalogue.checked(leading.must_hold)
    with mine.transaction() as session:
        heartbeats.beat(session, "written", now=now())
    take_over(catalogue, Lease(catalogue))
    assert leading.leads, "it was not told"
    with pytest.raises(LeaseLost), mine.transaction() as session:
        heartbeats.beat(session, "not written", now=now())
    with catalogue.transaction() as session:
        assert heartbeats.last(session, "written") is not None
        assert heartbeats.last(session, "not written") is None


def test_who_takes_over_waits_for_the_transactions_of_the_one_before(catalogue: Catalogue, leading: Lease) -> None:
    other = Lease(catalogue)
    with catalogue.checked(leading.must_hold).transaction() as session:
        with catalogue.transaction() as beside:
            beside.execute(update(Heartbeat).where(Heartbeat.part == RECONCILER).values(at=now() - LEASE * 1.5))
        taking = threading.Thread(target=other.renew)
        taking.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        wait_until(lambda: look(catalogue, waiting), "the other one to wait", every=0.02)
        assert not other.leads
        heartbeats.beat(session, "written", now=now())
    taking.join(30)
    assert other.leads
    with catalogue.transaction() as session:
        assert heartbeats.last(session, "written") is not None


def look(catalogue: Catalogue, query: object) -> object:
    with catalogue.transaction() as session:
        return session.scalar(query)  # type: ignore[call-overload]


def test_a_process_that_stood_still_finds_its_lease_over_before_it_sends_anything(
    leading: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    leading.must_last()
    present = clock.counter()
    monkeypatch.setattr(under_test, "counter", lambda: present + LEASE.total_seconds() - 2)
    with pytest.raises(LeaseLost):
        leading.must_last()
    assert leading.leads
    monkeypatch.setattr(under_test, "counter", lambda: present + LEASE.total_seconds() + 1)
    assert not leading.leads


def test_a_reconciler_that_is_stuck_in_a_pass_loses_its_lease(catalogue: Catalogue) -> None:
    found: list[str] = []
    stuck, other = Lease(catalogue, lambda: found[0] if found else None), Lease(catalogue)
    stuck.renew()
    assert stuck.leads
    found.append("follow")
    stuck.renew()
    assert not stuck.leads
    take_over(catalogue, other)


@pytest.fixture
def slow_prefect(prefect_server: PrefectServer) -> Iterator[tuple[Proxy, Prefect]]:
    """Prefect by way of a proxy that can make it slow."""
    with Proxy("127.0.0.1", prefect_server.port, delay_seconds=0.3) as proxy:
        prefect = Prefect(f"http://127.0.0.1:{proxy.port}/api")
        prefect._http.headers["Host"] = f"127.0.0.1:{prefect_server.port}"
        yield proxy, prefect
        prefect.close()


@pytest.mark.xdist_group("prefect")
def test_a_long_pass_on_a_slow_prefect_ends_when_another_one_leads(
    world: World, slow_prefect: tuple[Proxy, Prefect], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, prefect = slow_prefect
    for number in range(60):
        world.create(f"task {number}")
    monkeypatch.setattr("reconciler.tasks.DEPLOYING_SECONDS", 600)
    former, heir = Lease(world.catalogue), Lease(world.catalogue)
    former.renew()
    ended, writes = [], []

    def may_write() -> None:
        former.must_last()
        writes.append(heir.leads)

    prefect.may_write = may_write
    proxy.mode = Mode.DELAY

    def long_pass() -> None:
        try:
            deploy_changes(world.catalogue.checked(former.must_hold), prefect)
        except LeaseLost as error:
            ended.append(error)

    passing = threading.Thread(target=long_pass)
    passing.start()
    wait_until(lambda: former.renew() or len(writes) >= 3, "it to be in its midst")  # type: ignore[func-returns-value]
    # From now on nothing renews the lease of the former: it runs out by itself while the pass goes on.
    wait_until(lambda: heir.renew() or heir.leads, "the other one to lead", every=0.5)  # type: ignore[func-returns-value]
    passing.join(60)
    assert len(ended) == 1
    assert len(writes) < 60, "it had more to do"
    assert not any(writes), "nothing was sent while another one led"


def test_one_that_prefect_does_not_answer_makes_way_for_one_that_it_answers(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    since: list[float | None] = [None, None]
    cut_off, other = (Lease(catalogue, silent_since=lambda n=n: since[n]) for n in range(2))  # type: ignore[misc]
    cut_off.renew()
    since[0] = clock.counter() - under_test.CUT_OFF_SECONDS - 1
    cut_off.renew()
    assert cut_off.leads, "nobody else does better"
    sees_prefect(catalogue, other)
    cut_off.renew()
    assert not cut_off.leads
    other.renew()
    assert other.leads, "at once"
    cut_off.renew()
    assert not cut_off.leads
    # Now Prefect answers nobody: it goes neither to and fro nor without a leader.
    since[1] = since[0]
    later = now() + 2 * heartbeats.SEEN_WITHIN
    monkeypatch.setattr(under_test, "now", lambda: later)
    for _ in range(3):
        cut_off.renew()
        other.renew()
        assert (cut_off.leads, other.leads) in ((False, True), (True, False))


def sees_prefect(catalogue: Catalogue, lease: Lease) -> None:
    with catalogue.transaction() as session:
        heartbeats.beat(session, heartbeats.SEES_PREFECT, now=now(), details={"holder": str(lease.holder)})


def test_its_own_sight_of_prefect_is_not_another_ones(catalogue: Catalogue, leading: Lease) -> None:
    sees_prefect(catalogue, leading)
    with catalogue.transaction() as session:
        assert not heartbeats.another_sees_prefect(session, leading.holder, now=now())
        assert heartbeats.another_sees_prefect(session, Lease(catalogue).holder, now=now() + timedelta(seconds=1))

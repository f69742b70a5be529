"""Who is there, and who leads, by clocks that the tests set."""

from collections.abc import Iterable
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from db import heartbeats, workers
from db.errors import WorkerIsGone
from db.heartbeats import LEASE, PREFECT, RECONCILER, hold_lease
from db.tables import Worker
from db.workers import LOST_AFTER, SAYS_NOTHING, Failing, Report
from tests.db.conftest import NOW, a_claimed_run, a_worker, minutes, seconds


def names(found: Iterable[Worker]) -> list[str]:
    return [worker.name for worker in found]


def test_a_worker_is_present_while_it_is_heard_of(session: Session) -> None:
    b, _ = a_worker(session, "b"), a_worker(session, "a", now=NOW - LOST_AFTER)
    assert names(workers.present(session, now=NOW)) == ["a", "b"]
    assert names(workers.present(session, now=NOW + seconds(1))) == ["b"]
    assert names(workers.silent(session, now=NOW + seconds(1))) == ["a"]
    assert workers.beat(session, b.id, now=NOW + LOST_AFTER)
    session.expire_all()
    assert names(workers.silent(session, now=NOW + LOST_AFTER * 2)) == ["a"]


def test_a_worker_that_was_declared_lost_cannot_go_on_beating(session: Session) -> None:
    worker = a_worker(session)
    workers.stop(session, worker.id, now=NOW)
    assert not workers.beat(session, worker.id, now=NOW + seconds(1))
    assert not workers.beat(session, uuid4(), now=NOW)
    assert names(workers.present(session, now=NOW)) == names(workers.silent(session, now=NOW + LOST_AFTER * 2)) == []


def test_an_end_is_noted_once(session: Session) -> None:
    worker = a_worker(session)
    workers.stop(session, worker.id, now=NOW)
    workers.stop(session, worker.id, now=NOW + seconds(9))
    assert session.get_one(Worker, worker.id, populate_existing=True).stopped_at == NOW


def test_one_holds_the_lease_until_it_is_silent_for_too_long(session: Session) -> None:
    first, second = uuid4(), uuid4()
    assert hold_lease(session, RECONCILER, first, now=NOW)
    assert not hold_lease(session, RECONCILER, second, now=NOW + LEASE)
    assert hold_lease(session, RECONCILER, first, now=NOW + LEASE)
    assert not hold_lease(session, RECONCILER, second, now=NOW + LEASE * 2)
    assert hold_lease(session, RECONCILER, second, now=NOW + LEASE * 2 + seconds(1))
    assert not hold_lease(session, RECONCILER, first, now=NOW + LEASE * 2 + seconds(2))


def test_it_is_known_since_when_the_lease_is_held_without_a_pause(session: Session) -> None:
    first = uuid4()
    assert heartbeats.held_since(session, RECONCILER, now=NOW) is None
    for second in (0, 5, 10):
        assert hold_lease(session, RECONCILER, first, now=NOW + seconds(second))
    assert heartbeats.held_since(session, RECONCILER, now=NOW + seconds(11)) == NOW
    assert heartbeats.held_since(session, RECONCILER, now=NOW + seconds(11) + LEASE) is None
    assert hold_lease(session, RECONCILER, first, now=NOW + minutes(1))
    assert heartbeats.held_since(session, RECONCILER, now=NOW + minutes(1)) == NOW + minutes(1)


def test_each_part_has_a_lease_of_its_own(session: Session) -> None:
    assert hold_lease(session, RECONCILER, uuid4(), now=NOW)
    assert hold_lease(session, "another", uuid4(), now=NOW)


def test_a_beat_is_the_last_word_of_its_part(session: Session) -> None:
    assert heartbeats.last(session, PREFECT) is None
    heartbeats.beat(session, PREFECT, now=NOW, details={"version": "3"})
    heartbeats.beat(session, PREFECT, now=NOW + seconds(1))
    found = heartbeats.last(session, PREFECT)
    assert found is not None
    assert (found.at, found.details) == (NOW + seconds(1), {})


def test_a_worker_that_drains_goes_first_for_nobody_until_it_takes_runs_again(session: Session) -> None:
    first, second = a_worker(session, "w1"), a_worker(session, "w2")
    workers.drain(session, first.id, on=True, actor="anna", now=NOW)
    assert workers.is_draining(session, first.id)
    assert workers.peers(session, second.id, now=NOW) == {second.id}
    workers.drain(session, first.id, on=False, actor="anna", now=NOW)
    assert not workers.is_draining(session, first.id)
    assert workers.peers(session, second.id, now=NOW) == {first.id, second.id}


def test_a_drained_worker_that_was_declared_lost_and_starts_anew_stays_drained(session: Session) -> None:
    drained, other = a_worker(session, "w1"), a_worker(session, "w2")
    workers.drain(session, drained.id, on=True, actor="anna", now=NOW)
    for lost, stays in ((drained, True), (other, False)):
        workers.stop(session, lost.id, now=NOW)
        anew = uuid4()
        workers.register(
            session, worker_id=anew, instead_of=lost.id, name=lost.name, work_pool="default", host="h", pid=1, now=NOW
        )
        assert workers.is_draining(session, anew) is stays


def test_a_worker_that_has_stopped_is_not_drained(session: Session) -> None:
    worker = a_worker(session)
    workers.stop(session, worker.id, now=NOW)
    with pytest.raises(WorkerIsGone):
        workers.drain(session, worker.id, on=True, actor="anna", now=NOW)


def test_workers_are_seen_with_what_they_run(session: Session) -> None:
    _, worker_id = a_claimed_run(session)
    stopped = a_worker(session, "a-stopped-one")
    workers.stop(session, stopped.id, now=NOW)
    found = workers.seen(session, since=NOW - minutes(1))
    assert [worker.name for worker in found] == ["w1", "a-stopped-one"]
    assert workers.running(session, [worker.id for worker in found]) == {worker_id: 1}


def test_a_worker_says_what_it_holds_and_that_its_claims_fail(session: Session) -> None:
    worker, runs = a_worker(session), [uuid4(), uuid4()]

    def told(report: Report) -> tuple[object, object, str | None]:
        assert workers.beat(session, worker.id, report=report, now=NOW)
        found = session.get_one(Worker, worker.id, populate_existing=True)
        return found.holds, found.claims_fail_since, found.claims_fail_why

    holds, since, why = told(Report(runs, Failing(NOW, "disk\0 full \udcff" + "x" * 9999)))
    assert (holds, since) == (sorted(runs), NOW)
    assert why is not None
    assert why.startswith("disk\ufffd full ")
    assert told(Report([])) == ([], None, None)
    assert told(SAYS_NOTHING) == (None, None, None)

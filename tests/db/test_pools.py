"""Whether a work pool takes runs, and in which words it is told why it does not."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from db import pools, tasks, workers
from db.pools import Member, Pool
from db.states import RunState
from db.tables import Worker
from db.workers import Failing, Report
from tests.db.conftest import MANUAL, NOW, a_claimed_run, a_run, a_worker, create, deployed, minutes, once, seconds

FULL: dict[str, Any] = {"slots": 2, "running": 2}
DRAINED: dict[str, Any] = {"drained_at": NOW}
ELSEWHERE: dict[str, Any] = {"queues": ("gpu",)}
FAILING: dict[str, Any] = {"claims_fail_since": NOW, "claims_fail_why": "PostgreSQL has no disk space left"}
SILENT: dict[str, Any] = {"silent_since": NOW}
FREE: dict[str, Any] = {"slots": 2, "running": 1}


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([], "it has no worker. Start one: prefect worker start --pool 'default' --type warm"),
        ([SILENT], "its only worker is silent"),
        ([DRAINED | SILENT], "its only worker is drained"),
        ([DRAINED], "its only worker is drained"),
        ([DRAINED, DRAINED], "all 2 workers are drained"),
        ([ELSEWHERE], "its only worker is of other queues (gpu)"),
        ([FULL, FULL], "all 2 workers are full (4 of 4 slots are taken)"),
        ([FAILING], "its only worker is unable to claim (PostgreSQL has no disk space left)"),
        ([DRAINED, FULL, FULL], "of its 3 workers 1 is drained, 2 are full"),
    ],
)
def test_it_is_said_why_nothing_takes_runs(members: list[dict[str, Any]], why: str) -> None:
    pool = Pool("default", [Member(f"w{number}", **each) for number, each in enumerate(members)])
    assert pool.why_not() == f"Nothing takes runs of pool default: {why}."
    assert not pool.takes_runs


@pytest.mark.parametrize("other", [DRAINED, FULL, FAILING, ELSEWHERE, FREE])
def test_one_worker_with_a_free_slot_is_enough(other: dict[str, Any]) -> None:
    pool = Pool("default", [Member("w1", **other), Member("w2", **FREE)])
    assert pool.why_not() is None
    assert not pool.is_stopped


def test_a_pool_that_is_full_goes_on_by_itself() -> None:
    assert not Pool("default", [Member("w1", **FULL), Member("w2", **DRAINED)]).is_stopped
    assert Pool("default", [Member("w1", **FAILING), Member("w2", **DRAINED)]).is_stopped
    assert Pool("default").is_stopped


def stopped(session: Session) -> list[str]:
    return [pool.name for pool in pools.stopped(session, now=NOW, due_before=NOW + minutes(60))]


def test_a_drained_pool_is_stopped_as_soon_as_something_is_due_there(session: Session) -> None:
    worker = a_worker(session)
    workers.drain(session, worker.id, on=True, actor="anna", now=NOW - minutes(3))
    assert stopped(session) == []
    task = deployed(session)
    [found] = pools.stopped(session, now=NOW, due_before=NOW + minutes(60))
    assert (found.name, found.since) == ("default", NOW - minutes(3))
    tasks.pause_task(session, task, actor="anna", now=NOW)
    assert stopped(session) == []


def test_a_run_that_somebody_asked_for_wants_a_worker(session: Session) -> None:
    task = deployed(session, schedule=MANUAL)
    assert stopped(session) == []
    a_run(session, task, NOW, trigger="manual", state=RunState.SCHEDULED)
    assert stopped(session) == ["default"]
    a_worker(session)
    assert stopped(session) == []


def test_a_pool_that_nobody_serves_is_told_since_its_last_worker_left(session: Session) -> None:
    create(session, schedule=once(NOW + minutes(1)), work_pool="gpu")
    worker = a_worker(session)
    session.execute(update(Worker).where(Worker.id == worker.id).values(work_pool="gpu"))
    workers.stop(session, worker.id, now=NOW + seconds(5))
    [found] = pools.stopped(session, now=NOW, due_before=NOW + minutes(60))
    assert (found.name, found.since) == ("gpu", NOW + seconds(5))


def test_what_is_due_much_later_needs_nobody_now(session: Session) -> None:
    create(session, schedule=once(NOW + timedelta(hours=3)))
    assert stopped(session) == []


def test_slots_are_taken_by_what_runs_and_claims_that_fail_are_told(session: Session) -> None:
    _, worker_id = a_claimed_run(session)
    session.execute(update(Worker).where(Worker.id == worker_id).values(slots=1))
    assert pools.one_of(session, "default", now=NOW).why_not() == (
        "Nothing takes runs of pool default: its only worker is full (1 of 1 slots are taken)."
    )
    workers.beat(session, worker_id, report=Report([], Failing(NOW, "PostgreSQL takes no writes")), now=NOW)
    session.expire_all()
    assert "unable to claim (PostgreSQL takes no writes)" in (pools.one_of(session, "default", now=NOW).why_not() or "")

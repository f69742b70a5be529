"""Runs that nobody executes, and due times that nobody decides, are found by the audit."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from db import heartbeats, tasks, workers
from db.tables import DueTime, Heartbeat, Revision, Task, Worker
from db.workers import Report
from tests.db.conftest import MANUAL, NOW, a_run, a_worker, deployed, minutes, once, pending, seconds
from tests.db.test_witness import HOUR, assert_all_accounted_for, start_at, the_only_one, verdict, z

DUE = NOW + minutes(1)


def leads(session: Session, *, since: datetime, now: datetime) -> None:
    """A reconciler has done its work since then."""
    session.execute(update(Heartbeat).where(Heartbeat.part == heartbeats.RECONCILER).values(at=NOW - HOUR))
    holder = uuid4()
    assert heartbeats.hold_lease(session, heartbeats.RECONCILER, holder, now=since)
    while (since := since + seconds(5)) < now:
        assert heartbeats.hold_lease(session, heartbeats.RECONCILER, holder, now=since)
    assert heartbeats.hold_lease(session, heartbeats.RECONCILER, holder, now=now)


def test_a_run_that_its_worker_does_not_execute_is_found(session: Session) -> None:
    task_id = deployed(session, schedule=once(DUE))
    key, worker = start_at(session, task_id, DUE)
    heard_at = DUE + minutes(2)
    for held in (None, [key.id], [uuid4(), key.id]):
        assert workers.beat(session, worker.id, report=Report(held), now=heard_at)
        assert_all_accounted_for(session, 1, now=heard_at + seconds(3))
    assert workers.beat(session, worker.id, report=Report([uuid4()]), now=heard_at)
    found = the_only_one(session, now=heard_at + seconds(3))
    assert found.what == (
        f"Running, but the worker of its run {key.id} does not execute it, by its heartbeat at {z(heard_at)}."
    )
    assert found.due_at == DUE


def test_a_heartbeat_from_before_the_run_says_nothing_of_it(session: Session) -> None:
    task_id = deployed(session, schedule=once(DUE))
    _, worker = start_at(session, task_id, DUE)
    assert workers.beat(session, worker.id, report=Report([]), now=DUE + seconds(5))
    assert_all_accounted_for(session, 1, now=DUE + seconds(70))


def test_a_run_that_was_asked_for_or_is_older_than_what_is_looked_at_is_found_too(session: Session) -> None:
    task_id = deployed(session, schedule=MANUAL)
    worker = a_worker(session, now=NOW)
    claimed: dict[str, Any] = {"state": "running", "worker_id": worker.id, "worker": worker.name}
    asked = a_run(session, task_id, DUE, trigger="manual", started_at=DUE, **claimed)
    assert workers.beat(session, worker.id, report=Report([asked.id]), now=DUE + minutes(3))
    assert verdict(session, now=DUE + minutes(3)).discrepancies == ()
    assert workers.beat(session, worker.id, report=Report([]), now=DUE + minutes(3))
    found = the_only_one(session, now=DUE + minutes(3))
    assert (found.task_id, found.task_name, found.due_at) == (task_id, "backup", DUE)
    assert found.what.startswith(f"Said to go on, but the worker of its run {asked.id} does not execute it")


def test_a_run_whose_worker_has_no_record_any_more_is_found(session: Session) -> None:
    task_id = deployed(session, schedule=once(DUE))
    key, worker = start_at(session, task_id, DUE)
    session.execute(delete(Worker).where(Worker.id == worker.id))
    what = the_only_one(session, now=DUE + minutes(2)).what
    assert what == f"Running, but there is no record of the worker of its run {key.id}."


def test_a_silent_worker_that_nobody_declares_lost_is_found(session: Session) -> None:
    task_id = deployed(session, schedule=once(DUE))
    key, _ = start_at(session, task_id, DUE)
    later = DUE + minutes(2)
    what = the_only_one(session, now=later).what
    assert what == (
        f"Running, but the worker of its run {key.id} was last heard of at {z(DUE)}, and nobody declared it lost."
    )


def test_whoever_has_just_come_gets_a_moment_to_decide(session: Session) -> None:
    start_at(session, deployed(session, name="a", schedule=once(DUE)), DUE)
    deployed(session, name="b", schedule=once(DUE), max_lateness_seconds=5)
    now = DUE + minutes(9)
    leads(session, since=now - seconds(60), now=now)
    assert_all_accounted_for(session, 2, now=now, waiting=1)
    leads(session, since=now - minutes(5), now=now)
    assert len(verdict(session, now=now).discrepancies) == 2


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"max_lateness_seconds": 30}, "version 1 says max_lateness_seconds 30"),
        ({"misfire": "skip"}, "version 1 says misfire skip"),
        ({"ends_at": z(DUE + minutes(1))}, "version 1 says misfire latest, and a newer due time has passed"),
    ],
)
def test_a_due_time_that_needs_no_worker_and_is_not_decided_is_found(
    session: Session, changes: dict[str, Any], why: str
) -> None:
    schedule: dict[str, Any] = {} if "ends_at" in changes else {"schedule": once(DUE)}
    deployed(session, **{**schedule, **changes})
    first, *_ = verdict(session, now=DUE + minutes(5)).discrepancies
    assert first.due_at == DUE
    assert first.what == f"Still pending 300 s after it was due, and nobody decided it: {why}."


def test_a_due_time_in_a_pause_or_in_the_trash_is_decided_without_a_worker(session: Session) -> None:
    paused = deployed(session, name="paused", schedule=once(DUE))
    gone = deployed(session, name="gone", schedule=once(DUE))
    tasks.pause_task(session, paused, actor="anna", now=NOW + seconds(1))
    tasks.delete_task(session, gone, actor="anna", now=DUE + seconds(1))
    session.execute(update(DueTime).values(outcome="pending", reason=None, decided_at=None))
    found = {one.task_name: one.what for one in verdict(session, now=DUE + minutes(3)).discrepancies}
    assert {name: what.rpartition(": ")[2] for name, what in found.items()} == {
        "paused": "version 2 is paused.",
        "gone": "version 2 is deleted.",
    }


def test_what_may_still_be_run_waits_for_a_worker_for_as_long_as_it_takes(session: Session) -> None:
    deployed(session, schedule=once(DUE))
    assert_all_accounted_for(session, 1, now=DUE + HOUR, waiting=1)


@pytest.mark.parametrize("hindrance", ["draining_at", "claims_fail", "slots", "queues"])
def test_a_worker_that_takes_nothing_is_waited_for_as_if_it_were_not_there(session: Session, hindrance: str) -> None:
    deployed(session, schedule=once(DUE))
    worker, now = a_worker(session, now=NOW - minutes(5)), DUE + minutes(2)
    assert workers.beat(session, worker.id, now=now)
    assert the_only_one(session, now=now).what.endswith("it waits for nothing.")
    hindrances: dict[str, dict[str, Any]] = {
        "draining_at": {"draining_at": NOW},
        "claims_fail": {"claims_fail_since": NOW, "claims_fail_why": "disk full"},
        "slots": {"slots": 0},
        "queues": {"queues": ["gpu"]},
    }
    session.execute(update(Worker).values(hindrances[hindrance]))
    assert_all_accounted_for(session, 1, now=now, waiting=1)


def spoil_zone(session: Session, task_id: UUID) -> None:
    """As if the zone of its schedule had gone from the time zone database."""
    schedule = {"schedule": {"kind": "cron", "cron": "* * * * *", "timezone": "Mars/Olympus"}}
    session.execute(update(Task).where(Task.id == task_id).values(spec=Task.spec.op("||")(schedule)))
    session.execute(update(Revision).where(Revision.task_id == task_id).values(spec=Revision.spec.op("||")(schedule)))


def test_a_task_that_cannot_be_read_is_told_and_the_others_are_examined(session: Session) -> None:
    broken, well = deployed(session, name="broken"), deployed(session, name="well", ends_at=z(NOW + minutes(2)))
    spoil_zone(session, broken)
    session.execute(delete(DueTime).where(DueTime.task_id == well, DueTime.due_at == pending(session, well)[0]))
    found = {one.task_name: one.what for one in verdict(session, now=NOW + minutes(3)).discrepancies}
    assert set(found) == {"broken", "well"}
    assert found["broken"].startswith("Its due times cannot be examined: version 1: ")
    assert "Mars/Olympus" in found["broken"]
    assert found["well"].startswith("There is no row")

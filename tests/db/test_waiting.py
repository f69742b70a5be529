"""A run that has not begun says what it waits for."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from db import heartbeats, run_requests, runs, sync, waiting, workers
from db.states import RunState, Trigger
from db.tables import Run, RunRequest
from tests.db.conftest import MANUAL, NOW, a_claimed_run, a_run, a_worker, create, deployed, minutes, seconds, status

NOBODY = (
    "Nothing takes runs of pool default: it has no worker. "
    "Start one: prefect worker start --pool 'default' --type warm."
)


def beat(session: Session, *, prefect: datetime = NOW, reconciler: datetime = NOW) -> None:
    heartbeats.beat(session, heartbeats.PREFECT, now=prefect)
    heartbeats.beat(session, heartbeats.RECONCILER, now=reconciler)


def asked(session: Session, task_id: UUID) -> Run:
    """A run that somebody asked for, and that Prefect has not made yet."""
    request = run_requests.request_run(session, task_id, actor="anna", now=NOW)
    session.flush()
    return run_requests.resolve(session, request)


def of(session: Session, run: Run, *, zone: str = "UTC") -> str | None:
    return waiting.of_run(session, run, now=NOW, zone=zone)


def test_a_run_that_was_asked_for_waits_for_a_worker_that_takes_it(session: Session) -> None:
    beat(session)
    run = asked(session, deployed(session, schedule=MANUAL))
    assert of(session, run) == NOBODY
    worker = a_worker(session)
    assert of(session, run) == "No worker has it yet."
    workers.drain(session, worker.id, on=True, actor="anna", now=NOW)
    assert of(session, run) == "Nothing takes runs of pool default: its only worker is drained."


def test_a_run_waits_for_whoever_does_not_answer(session: Session) -> None:
    run = asked(session, deployed(session, schedule=MANUAL))
    a_worker(session)
    assert of(session, run) == "The reconciler was not heard of yet."
    beat(session, reconciler=NOW - minutes(2))
    assert of(session, run) == "The reconciler does not answer: it was last heard of at 11:58 UTC."
    beat(session, prefect=NOW - minutes(2))
    assert of(session, run, zone="Asia/Kolkata") == "Prefect does not answer: it was last heard of at 17:28 IST."


def test_a_run_of_a_task_that_prefect_does_not_have_says_so(session: Session) -> None:
    beat(session)
    task = create(session, schedule=MANUAL)
    run = asked(session, task)
    assert of(session, run) == "Prefect has not been told of the task yet."
    sync.record_error(session, task, "no pool named gpu")
    session.refresh(status(session, task))
    assert of(session, run) == "Prefect does not have the task: no pool named gpu."


def test_what_is_for_later_says_when(session: Session) -> None:
    beat(session)
    task = deployed(session, schedule=MANUAL)
    a_worker(session)
    later = asked(session, task)
    session.execute(update(RunRequest).values(not_before=NOW + seconds(30)))
    assert of(session, later) == "Its time comes at 12:00:30 UTC."
    scheduled = a_run(session, task, NOW + minutes(2))
    assert of(session, runs.get_run(session, scheduled.id)) == "Its time comes at 12:02 UTC."


def test_between_two_attempts_the_next_one_is_told(session: Session) -> None:
    key, worker_id = a_claimed_run(session, retries=2)
    assert of(session, runs.get_run(session, key.id)) is None
    at = NOW + seconds(90)
    assert runs.next_attempt(session, key, worker_id=worker_id, state=RunState.RETRYING, attempt=2, at=at)
    session.expire_all()
    assert of(session, runs.get_run(session, key.id)) == "Its next attempt is made at 12:01:30 UTC."


def test_a_run_that_follows_another_one_waits_for_what_goes_on_of_its_task(session: Session) -> None:
    beat(session)
    key, _ = a_claimed_run(session)
    task = runs.get_run(session, key.id).task_id
    following = a_run(session, task, NOW, trigger=Trigger.CHAIN)
    assert of(session, runs.get_run(session, following.id)) == "The run that was due at 12:01 UTC has to end first."


def test_what_is_over_or_is_being_cancelled_waits_for_nothing_else(session: Session) -> None:
    task = deployed(session, schedule=MANUAL)
    over = a_run(session, task, NOW, state=RunState.COMPLETED, started_at=NOW, ended_at=NOW)
    assert of(session, runs.get_run(session, over.id)) is None
    cancelled = a_run(session, task, NOW + seconds(1))
    runs.request_cancel(session, cancelled.id, now=NOW)
    assert of(session, runs.get_run(session, cancelled.id)) == "It is being cancelled."

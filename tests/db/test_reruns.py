"""How a run goes on when the machine under it dies: in a run of its own, once, and the ledger follows it."""

from datetime import datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import claims, run_requests, runs, tasks
from db.claims import Claimed, NotYet, Offer
from db.reruns import DEATHS_AT_MOST, next_attempt
from db.run_requests import OpenRequest
from db.runs import Ending, RunKey
from db.states import OnCrash, Outcome, Reason, RunState, Trigger
from db.tables import RunRequest
from tests.db.conftest import (
    NOW,
    a_claimed_run,
    a_worker,
    an_offer,
    claim_at,
    deployed,
    ledger,
    minutes,
    outcomes,
    pending,
    run_of,
    seconds,
    status,
)

LOST_AT = NOW + minutes(1) + seconds(35)


def dies(session: Session, key: RunKey, worker_id: UUID, *, at: datetime = LOST_AT) -> None:
    """The worker falls silent, and the reconciler ends its run."""
    assert runs.end_unclaimed(session, key, Ending(RunState.CRASHED, at, error="lost"), held_by=worker_id)


def wanted(session: Session, *, at: datetime = LOST_AT) -> list[OpenRequest]:
    return list(run_requests.open_requests(session, now=at))


def made(session: Session, request: OpenRequest) -> Offer:
    """The reconciler makes the run in Prefect, which offers it."""
    run_id = uuid4()
    run_requests.fulfil(session, request, run_id)
    assert request.deployment_id is not None
    return Offer(run_id, request.deployment_id, request.due_at, Trigger.RERUN)


def test_at_most_once_ends_there(session: Session) -> None:
    key, worker_id = a_claimed_run(session)
    dies(session, key, worker_id)
    assert wanted(session) == []
    assert ledger(session, run_of(session, key).task_id)[0].outcome == Outcome.UNKNOWN


def test_at_least_once_goes_on_as_attempt_2_and_the_due_time_is_decided_by_it(session: Session) -> None:
    key, worker_id = a_claimed_run(session, on_crash="rerun")
    task_id = run_of(session, key).task_id
    dies(session, key, worker_id)
    assert ledger(session, task_id)[0].outcome == Outcome.RUNNING, "nobody knows yet what becomes of it"
    offer = made(session, wanted(session)[0])
    assert wanted(session) == []

    worker = a_worker(session, "w2")
    answer = claims.claim(session, offer, worker, now=LOST_AT + seconds(1))
    assert isinstance(answer, Claimed)
    assert (answer.trigger, answer.attempt, answer.key.due_at) == (Trigger.RERUN, 2, key.due_at)
    rerun = run_of(session, answer.key)
    assert (rerun.rerun_of, rerun.trigger, rerun.attempt) == (key.id, Trigger.RERUN, 2)

    done = Ending(RunState.COMPLETED, LOST_AT + seconds(5))
    assert runs.finish(session, answer.key, done, worker_id=worker.id)
    row = ledger(session, task_id)[0]
    assert (row.outcome, row.reason, row.run_id, row.started_at) == (Outcome.RAN, None, offer.run_id, key.due_at)
    assert not runs.finish(session, key, done, worker_id=worker_id), "the claim of the dead one is void"


def test_a_worker_that_hears_of_it_before_it_is_noted_waits_until_that_is_done(session: Session) -> None:
    key, worker_id = a_claimed_run(session, retries=2)
    runs.next_attempt(session, key, worker_id=worker_id, state=RunState.RETRYING, attempt=2, at=LOST_AT)
    dies(session, key, worker_id)
    (request,) = wanted(session)
    assert request.deployment_id is not None
    run_id, worker, later = uuid4(), a_worker(session, "w2"), LOST_AT + seconds(1)
    offer = Offer(run_id, request.deployment_id, request.due_at, Trigger.RERUN)
    assert claims.claim(session, offer, worker, now=later) == NotYet(), "Prefect has it, and the catalogue not yet"
    run_requests.fulfil(session, request, run_id)
    answer = claims.claim(session, offer, worker, now=later)
    assert isinstance(answer, Claimed)
    assert answer.attempt == 2


def test_a_worker_that_ends_its_run_itself_hands_it_on_as_well(session: Session) -> None:
    key, worker_id = a_claimed_run(session, on_crash="rerun")
    assert runs.finish(session, key, Ending(RunState.CRASHED, LOST_AT), worker_id=worker_id)
    assert [request.rerun_of for request in wanted(session)] == [key.id]


def test_a_retry_survives_its_worker_whatever_is_said_about_crashes(session: Session) -> None:
    key, worker_id = a_claimed_run(session, retries=1)
    retry_at = LOST_AT + minutes(10)
    runs.next_attempt(session, key, worker_id=worker_id, state=RunState.RETRYING, attempt=2, at=retry_at)
    dies(session, key, worker_id)
    assert wanted(session) == []
    assert wanted(session, at=retry_at)[0].attempt == 2


def test_a_run_by_hand_is_made_up_for_as_well(session: Session) -> None:
    task_id = deployed(session, on_crash="rerun", schedule={"kind": "manual"})
    run_requests.request_run(session, task_id, actor="anna", now=NOW)
    session.flush()
    offer = made(session, wanted(session)[0])
    worker = a_worker(session)
    answer = claims.claim(session, Offer(offer.run_id, offer.deployment_id, NOW, Trigger.MANUAL), worker, now=NOW)
    assert isinstance(answer, Claimed)
    dies(session, answer.key, worker.id)
    assert [(one.trigger, one.rerun_of) for one in wanted(session)] == [(Trigger.RERUN, answer.key.id)]


def test_what_somebody_cancels_is_not_begun_again(session: Session) -> None:
    key, worker_id = a_claimed_run(session, on_crash="rerun")
    runs.request_cancel(session, key.id, now=LOST_AT)
    dies(session, key, worker_id)
    assert wanted(session) == []


def test_a_run_that_was_made_in_prefect_is_not_made_again(session: Session) -> None:
    task_id = deployed(session, on_crash="rerun")
    worker = a_worker(session)
    answer = claims.claim(session, an_offer(session, task_id, NOW, Trigger.PREFECT), worker, now=NOW)
    assert isinstance(answer, Claimed)
    dies(session, answer.key, worker.id)
    assert wanted(session) == []


@pytest.mark.parametrize("is_made", [False, True])
def test_with_its_task_a_run_that_waits_to_go_on_is_given_up_and_the_due_time_is_unknown(
    session: Session, is_made: bool
) -> None:
    key, worker_id = a_claimed_run(session, on_crash="rerun")
    task_id = run_of(session, key).task_id
    dies(session, key, worker_id)
    rerun = RunKey(made(session, wanted(session)[0]).run_id, key.due_at) if is_made else None
    tasks.delete_task(session, task_id, actor="anna", now=LOST_AT)
    if rerun is not None:
        runs.end_unclaimed(session, rerun, Ending(RunState.CANCELLED, LOST_AT))
    assert wanted(session) == []
    assert ledger(session, task_id)[0].outcome == Outcome.UNKNOWN
    assert ledger(session, task_id)[0].reason == Reason.WORKER_LOST


def test_until_it_goes_on_the_next_due_time_overlaps(session: Session) -> None:
    key, worker_id = a_claimed_run(session, on_crash="rerun")
    task_id = run_of(session, key).task_id
    dies(session, key, worker_id)
    claim_at(session, task_id, pending(session, task_id)[0])
    assert outcomes(session, task_id)[1] == (Outcome.SKIPPED, Reason.OVERLAP)


def test_it_waits_for_a_run_that_began_meanwhile(session: Session) -> None:
    key, worker_id = a_claimed_run(session, on_crash="rerun")
    task_id = run_of(session, key).task_id
    dies(session, key, worker_id)
    rerun = made(session, wanted(session)[0])
    other = an_offer(session, task_id, LOST_AT, Trigger.MANUAL)
    worker = a_worker(session)
    assert isinstance(claims.claim(session, other, worker, now=LOST_AT), Claimed)
    assert claims.claim(session, rerun, worker, now=LOST_AT) == NotYet()


def test_prefects_loss_of_the_waiting_run_makes_another_one(session: Session) -> None:
    key, worker_id = a_claimed_run(session, on_crash="rerun")
    task_id = run_of(session, key).task_id
    dies(session, key, worker_id)
    lost = made(session, wanted(session)[0])
    assert run_requests.reopen_waiting(session, now=LOST_AT) == 1
    again = made(session, wanted(session)[0])
    assert run_of(session, RunKey(lost.run_id, key.due_at)).state == RunState.CANCELLED
    assert (ledger(session, task_id)[0].outcome, ledger(session, task_id)[0].run_id) == (Outcome.RUNNING, again.run_id)


def test_whoever_notices_it_is_asked_for_once(session: Session) -> None:
    key, worker_id = a_claimed_run(session, on_crash="rerun")
    dies(session, key, worker_id)
    assert not runs.end_unclaimed(session, key, Ending(RunState.CRASHED, LOST_AT), held_by=worker_id)
    assert len(session.scalars(select(RunRequest)).all()) == 1
    assert status(session, run_of(session, key).task_id).last_state == RunState.CRASHED


@given(st.integers(1, 50), st.sampled_from(OnCrash), st.integers(0, 5))
def test_no_task_takes_its_machines_down_for_ever(attempt: int, on_crash: OnCrash, retries: int) -> None:
    following = next_attempt(RunState.RUNNING, attempt, on_crash=on_crash, retries=retries)
    assert following in (None, attempt + 1)
    assert (following is not None) == (on_crash is OnCrash.RERUN and attempt <= retries + DEATHS_AT_MOST)
    assert next_attempt(RunState.RETRYING, attempt, on_crash=on_crash, retries=retries) == attempt

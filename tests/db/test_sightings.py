"""What Prefect says of runs that none of our workers claimed: made by hand, on stock workers, cancelled early."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from db import due_times, runs, sightings, sync
from db.claims import Offer
from db.errors import RunNotFound
from db.partitions import newest_instant, oldest_instant
from db.sightings import Sighting
from db.states import Outcome, Reason, RunState, Trigger
from tests.db.conftest import (
    NOW,
    a_claimed_run,
    an_offer,
    deployed,
    ledger,
    minutes,
    outcomes,
    run_of,
    seconds,
    status,
)

DUE_AT = NOW + minutes(1)


def seen(session: Session, offer: Offer, state: RunState, **times: Any) -> bool:
    """Whether this was news."""
    known: dict[str, datetime | None] = {"started_at": None, "ended_at": None, **times}
    return sightings.observe(session, Sighting(offer, state, **known, message="Said by Prefect."), now=NOW)


def test_a_run_made_by_hand_in_prefect_is_followed_from_its_first_sight_to_its_end(session: Session) -> None:
    task_id = deployed(session)
    offer = an_offer(session, task_id, NOW, Trigger.PREFECT)
    assert seen(session, offer, RunState.SCHEDULED)
    assert not seen(session, offer, RunState.SCHEDULED)
    assert seen(session, offer, RunState.PENDING)
    assert seen(session, offer, RunState.RUNNING, started_at=NOW + seconds(1))
    assert seen(session, offer, RunState.COMPLETED, started_at=NOW + seconds(1), ended_at=NOW + seconds(2))
    assert not seen(session, offer, RunState.COMPLETED, started_at=NOW + seconds(1), ended_at=NOW + seconds(2))
    assert not seen(session, offer, RunState.RUNNING, started_at=NOW + seconds(1))
    run = runs.get_run(session, offer.run_id)
    assert (run.state, run.trigger, run.error) == (RunState.COMPLETED, Trigger.PREFECT, None)
    assert (run.started_at, run.ended_at) == (NOW + seconds(1), NOW + seconds(2))
    assert status(session, task_id).last_state == RunState.COMPLETED


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CRASHED, RunState.TIMED_OUT, RunState.CANCELLED])
def test_a_run_that_is_first_seen_when_it_is_over_is_complete_with_what_prefect_said(
    session: Session, state: RunState
) -> None:
    offer = an_offer(session, deployed(session), NOW, Trigger.PREFECT)
    assert seen(session, offer, state, started_at=NOW, ended_at=NOW + seconds(2))
    run = runs.get_run(session, offer.run_id)
    assert (run.state, run.ended_at, run.error) == (state, NOW + seconds(2), "Said by Prefect.")


def test_an_end_before_the_start_is_corrected_and_stops_nobody(session: Session) -> None:
    offer = an_offer(session, deployed(session), NOW, Trigger.PREFECT)
    assert seen(session, offer, RunState.FAILED, started_at=NOW + seconds(2), ended_at=NOW)
    assert runs.get_run(session, offer.run_id).ended_at == NOW + seconds(2)


def test_a_scheduled_run_on_a_stock_worker_decides_its_due_time(session: Session) -> None:
    for state, outcome in ((RunState.COMPLETED, Outcome.RAN), (RunState.CRASHED, Outcome.UNKNOWN)):
        task_id = deployed(session, name=state)
        offer = an_offer(session, task_id, DUE_AT)
        assert not seen(session, offer, RunState.PENDING), "the ledger knows that it is pending"
        assert seen(session, offer, RunState.RUNNING, started_at=DUE_AT + seconds(1))
        assert outcomes(session, task_id)[0] == (Outcome.RUNNING, None)
        assert seen(session, offer, state, started_at=DUE_AT + seconds(1), ended_at=DUE_AT + seconds(2))
        row = ledger(session, task_id)[0]
        assert (row.outcome, row.run_id, row.lateness_seconds) == (outcome, offer.run_id, 1.0)


def test_a_scheduled_run_that_somebody_cancelled_cancels_its_due_time_and_makes_no_run(session: Session) -> None:
    task_id = deployed(session)
    offer = an_offer(session, task_id, DUE_AT)
    assert seen(session, offer, RunState.CANCELLED, ended_at=NOW)
    assert not seen(session, offer, RunState.CANCELLED, ended_at=NOW)
    assert outcomes(session, task_id)[0] == (Outcome.CANCELLED, Reason.CANCELLED)
    with pytest.raises(RunNotFound):
        runs.get_run(session, offer.run_id)


def test_what_prefect_says_of_a_run_that_our_worker_holds_is_an_echo(session: Session) -> None:
    key, _ = a_claimed_run(session)
    deployment_id = status(session, run_of(session, key).task_id).deployment_id
    assert deployment_id is not None
    offer = Offer(key.id, deployment_id, key.due_at, Trigger.SCHEDULE)
    assert not seen(session, offer, RunState.COMPLETED, started_at=key.due_at, ended_at=key.due_at)
    assert run_of(session, key).state == RunState.RUNNING


def test_runs_of_deployments_that_are_nobodys_here_are_not_ours_to_note(session: Session) -> None:
    assert not seen(session, Offer(uuid4(), UUID(int=7), NOW, Trigger.PREFECT), RunState.RUNNING, started_at=NOW)


def test_a_run_of_a_time_that_is_not_kept_is_no_news_and_no_error(session: Session) -> None:
    task_id = deployed(session)
    for due_at in (oldest_instant(NOW) - seconds(1), newest_instant(NOW), NOW + timedelta(days=3000)):
        offer = an_offer(session, task_id, due_at, Trigger.PREFECT)
        assert not seen(session, offer, RunState.RUNNING, started_at=NOW)


def test_a_run_of_a_schedule_that_prefect_alone_can_follow_is_nobodys_due_time(session: Session) -> None:
    task_id = deployed(session)
    version, deployment_id = 1, status(session, task_id).deployment_id
    applied = {"schedule": due_times.FOREIGN}
    sync.record_synced(session, task_id, version=version, deployment_id=deployment_id, applied=applied)
    offer = an_offer(session, task_id, NOW + seconds(7))
    assert seen(session, offer, RunState.RUNNING, started_at=NOW + seconds(8))
    assert runs.get_run(session, offer.run_id).trigger == Trigger.PREFECT

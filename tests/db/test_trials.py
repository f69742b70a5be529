"""Tests of what is not saved: a task of its own, for one run, that goes into the trash by itself."""

from datetime import datetime
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from db import run_requests, runs, task_views, tasks, trials
from db.runs import Ending, RunKey
from db.specs import as_document
from db.states import FINAL_STATES, Misfire, RunState, Trigger
from db.tables import Task, Trial
from db.values import MAX_NAME
from tests.db.conftest import NOW, a_task, create, minutes


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=MAX_NAME))
def test_a_trial_does_the_same_by_hand_under_a_name_of_its_own(name: str) -> None:
    wanted = a_task(name=name, misfire="all", schedule={"kind": "cron", "cron": "* * * * *", "timezone": "UTC"})
    trial = trials.trial_of(wanted, number="7f3a21")
    assert trial.name.endswith(" (test 7f3a21)")
    assert len(trial.name) <= MAX_NAME
    assert (trial.action, trial.misfire, trial.timeout_seconds) == (wanted.action, Misfire.ALL, wanted.timeout_seconds)
    assert as_document(trial)["schedule"] == {"kind": "manual"}


def end_those_over(session: Session, *, now: datetime) -> int:
    """How many that were."""
    over = trials.over(session, now=now)
    for task_id in over:
        trials.end(session, task_id, now=now)
    return len(over)


def test_a_trial_is_asked_for_one_test_and_stays_until_that_is_over(session: Session) -> None:
    request_id = trials.begin(session, a_task(name="backup"), actor="anna", now=NOW)
    session.flush()
    [request] = run_requests.open_requests(session, now=NOW)
    assert (request.id, request.trigger) == (request_id, Trigger.TEST)
    assert end_those_over(session, now=NOW) == 0

    run = RunKey(uuid4(), request.due_at)
    run_requests.fulfil(session, request, run.id)
    session.flush()
    assert end_those_over(session, now=NOW) == 0

    runs.end_unclaimed(session, run, Ending(RunState.COMPLETED, NOW + minutes(1)))
    session.flush()
    assert end_those_over(session, now=NOW + minutes(1)) == 1
    assert session.get_one(Task, request.task_id).deleted_at is not None
    assert run_requests.resolve(session, request_id).state in FINAL_STATES
    assert end_those_over(session, now=NOW + minutes(1)) == 0


def test_a_trial_leaves_other_tasks_alone(session: Session) -> None:
    other = create(session, name="backup")
    trials.begin(session, a_task(name="backup"), actor="anna", now=NOW)
    trials.begin(session, a_task(name="backup"), actor="anna", now=NOW)
    session.flush()
    assert end_those_over(session, now=NOW) == 0
    assert task_views.get_task(session, other, now=NOW).version == 1


def test_who_deletes_a_trial_first_ends_it(session: Session) -> None:
    trials.begin(session, a_task(name="backup"), actor="anna", now=NOW)
    session.flush()
    [request] = run_requests.open_requests(session, now=NOW)
    tasks.delete_task(session, request.task_id, actor="bob", now=NOW)
    session.flush()
    assert end_those_over(session, now=NOW) == 1
    session.flush()
    assert session.get(Trial, request.task_id) is None


def test_a_trial_that_nobody_runs_within_an_hour_is_given_up(session: Session) -> None:
    trials.begin(session, a_task(name="asked for"), actor="anna", now=NOW)
    request_id = trials.begin(session, a_task(name="scheduled"), actor="anna", now=NOW)
    session.flush()
    requests = {each.id: each for each in run_requests.open_requests(session, now=NOW)}
    run_requests.fulfil(session, requests[request_id], uuid4())
    session.flush()
    assert end_those_over(session, now=NOW + minutes(59)) == 0
    assert end_those_over(session, now=NOW + minutes(60)) == 2
    session.flush()
    assert run_requests.open_requests(session, now=NOW + minutes(60)) == []
    assert run_requests.resolve(session, request_id).cancel_requested_at is not None

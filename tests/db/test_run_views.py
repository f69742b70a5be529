"""A run with what surrounds it."""

from uuid import uuid4

from sqlalchemy.orm import Session

from db import run_requests, run_views
from db.states import Outcome, RunState, Trigger
from tests.db.conftest import MANUAL, NOW, a_claimed_run, a_run, create, edit, minutes, run_of


def test_neighbours_are_of_the_same_task_in_order_of_due_times(session: Session) -> None:
    task, other = create(session, name="a", schedule=MANUAL), create(session, name="b", schedule=MANUAL)
    first, second, third = (a_run(session, task, NOW + minutes(number)) for number in range(3))
    a_run(session, other, NOW + minutes(1.5))
    around = run_views.surroundings(session, run_of(session, second))
    assert (around.previous, around.following) == (first.id, third.id)
    assert run_views.surroundings(session, run_of(session, first)).previous is None
    assert run_views.surroundings(session, run_of(session, third)).following is None


def test_the_due_time_that_a_run_executes_belongs_to_it(session: Session) -> None:
    key, _ = a_claimed_run(session)
    around = run_views.surroundings(session, run_of(session, key))
    assert around.due_time is not None
    assert around.due_time.outcome == Outcome.RUNNING
    by_hand = a_run(session, run_of(session, key).task_id, key.due_at)
    assert run_views.surroundings(session, run_of(session, by_hand)).due_time is None


def test_what_a_run_executed_is_its_own_version(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    key = a_run(session, task, NOW, task_version=1)
    edit(session, task, action={"command": "false"})
    around = run_views.surroundings(session, run_of(session, key))
    assert around.spec is not None
    assert around.spec.action.command == "true"  # type: ignore[union-attr]


def test_what_a_test_executed_is_what_it_was_given(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    run_requests.request_run(session, task, action={"command": "date"}, actor="anna", now=NOW)
    [request] = run_requests.open_requests(session, now=NOW)
    assert (request.trigger, request.changed.action.command) == (Trigger.TEST, "date")  # type: ignore[union-attr]
    run_requests.fulfil(session, request, run_id := uuid4())
    around = run_views.surroundings(session, run_requests.resolve(session, run_id))
    assert around.spec is not None
    assert around.spec.action.command == "date"  # type: ignore[union-attr]


def test_a_window_has_what_was_due_in_it_and_what_goes_on_since_before(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    over = {"state": RunState.COMPLETED, "started_at": NOW, "ended_at": NOW + minutes(9)}
    within = a_run(session, task, NOW, **over)
    a_run(session, task, NOW - minutes(60), state=RunState.COMPLETED, started_at=NOW - minutes(60), ended_at=NOW)
    going_on = a_run(session, task, NOW - minutes(90), state=RunState.RUNNING, started_at=NOW - minutes(90))
    a_run(session, task, NOW + minutes(1))
    found = run_views.in_window(session, since=NOW - minutes(30), until=NOW + minutes(5), limit=10)
    assert [run.id for run in found] == [within.id, going_on.id]

"""Runs: taken once, reported by their worker alone, ended once; the newest one is kept beside its task."""

from datetime import datetime
from itertools import permutations
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from db import runs, starts, tasks, workers
from db.errors import RunIsOver, RunNotFound
from db.runs import Ending, RunKey
from db.states import ACTIVE_STATES, FINAL_STATES, Outcome, Reason, RunState, Trigger
from tests.db.conftest import (
    NOW,
    a_claimed_run,
    a_run,
    a_worker,
    create,
    deployed,
    ledger,
    minutes,
    outcomes,
    run_of,
    seconds,
    status,
)

DONE = Ending(RunState.COMPLETED, NOW + minutes(2), exit_code=0)


def start(session: Session, key: RunKey, task_id: UUID, worker_id: UUID) -> bool:
    wanted = starts.Start(key, task_id, "backup", 1, Trigger.MANUAL.value, NOW)
    return bool(starts.start_many(session, [wanted], worker_id=worker_id, worker="w", started_at=NOW))


def test_a_run_is_inserted_once(session: Session) -> None:
    task_id = create(session)
    key = a_run(session, task_id, NOW)
    values = {"task_name": "x", "task_version": 1, "trigger": "manual", "state": "running"}
    assert not runs.insert_run(session, key, task_id=task_id, **values)
    assert (run_of(session, key).state, run_of(session, key).attempt) == (RunState.SCHEDULED, 1)


@pytest.mark.parametrize("state", [RunState.SCHEDULED, RunState.PENDING])
def test_a_run_that_waits_is_taken_once(session: Session, state: RunState) -> None:
    task_id = create(session)
    key = a_run(session, task_id, NOW, state=state)
    mine, theirs = uuid4(), uuid4()
    assert start(session, key, task_id, mine)
    assert not start(session, key, task_id, theirs)
    assert not start(session, key, task_id, mine)
    assert (run_of(session, key).worker_id, run_of(session, key).reported) == (mine, False)


def test_a_run_that_has_ended_or_is_to_be_cancelled_is_not_taken(session: Session) -> None:
    task_id = create(session)
    over = a_run(session, task_id, NOW, state=RunState.CANCELLED, ended_at=NOW)
    cancelled = a_run(session, task_id, NOW)
    runs.request_cancel(session, cancelled.id, now=NOW)
    assert not start(session, over, task_id, uuid4())
    assert not start(session, cancelled, task_id, uuid4())
    assert run_of(session, cancelled).worker_id is None


def test_nobody_but_its_worker_reports_on_a_run(session: Session) -> None:
    key, worker_id = a_claimed_run(session)
    stranger = uuid4()
    assert not runs.next_attempt(session, key, worker_id=stranger, state=RunState.RETRYING, attempt=2)
    assert not runs.finish(session, key, DONE, worker_id=stranger)
    assert not runs.end_unclaimed(session, key, DONE)
    assert not runs.end_unclaimed(session, key, DONE, held_by=stranger)
    assert not runs.observe(session, key, state=RunState.PENDING, started_at=None)
    assert not runs.observe_end(session, key, DONE, started_at=None)
    assert run_of(session, key).state == RunState.RUNNING
    assert runs.finish(session, key, DONE, worker_id=worker_id)


def test_attempts_are_counted_until_the_run_is_over(session: Session) -> None:
    key, worker_id = a_claimed_run(session)
    assert runs.next_attempt(session, key, worker_id=worker_id, state=RunState.RETRYING, attempt=2)
    assert (run_of(session, key).state, run_of(session, key).attempt) == (RunState.RETRYING, 2)
    assert runs.next_attempt(session, key, worker_id=worker_id, state=RunState.RUNNING, attempt=2)
    assert runs.finish(session, key, DONE, worker_id=worker_id)
    assert not runs.next_attempt(session, key, worker_id=worker_id, state=RunState.RUNNING, attempt=3)
    assert run_of(session, key).attempt == 2


def test_the_end_of_a_run_decides_its_due_time_once(session: Session) -> None:
    for state in FINAL_STATES:
        key, worker_id = a_claimed_run(session, name=state)
        ending = Ending(state, NOW + minutes(2), exit_code=3, error="No.")
        assert runs.finish(session, key, ending, worker_id=worker_id)
        assert not runs.finish(session, key, DONE, worker_id=worker_id)
        run = run_of(session, key)
        assert (run.state, run.ended_at, run.exit_code, run.error) == (state, NOW + minutes(2), 3, "No.")
        crashed = state == RunState.CRASHED
        expected = (Outcome.UNKNOWN, Reason.WORKER_LOST) if crashed else (Outcome.RAN, None)
        assert outcomes(session, run.task_id)[0] == expected
        assert ledger(session, run.task_id)[0].run_id == key.id


def test_the_run_of_a_lost_worker_is_ended_for_it_and_the_worker_cannot_go_on(session: Session) -> None:
    key, worker_id = a_claimed_run(session)
    assert runs.lost_runs(session) == []
    workers.stop(session, worker_id, now=NOW)
    assert [(run.id, worker.id) for run, worker in runs.lost_runs(session)] == [(key.id, worker_id)]
    ending = Ending(RunState.CRASHED, NOW + minutes(2), error="Lost.")
    assert runs.end_unclaimed(session, key, ending, held_by=worker_id)
    assert not runs.finish(session, key, DONE, worker_id=worker_id)
    assert not runs.next_attempt(session, key, worker_id=worker_id, state=RunState.RUNNING, attempt=2)
    assert outcomes(session, run_of(session, key).task_id)[0] == (Outcome.UNKNOWN, Reason.WORKER_LOST)
    assert runs.lost_runs(session) == []


def test_a_run_never_ends_before_it_starts_whatever_the_clocks_say(session: Session) -> None:
    key, worker_id = a_claimed_run(session)
    assert runs.finish(session, key, Ending(RunState.COMPLETED, NOW - minutes(9)), worker_id=worker_id)
    assert run_of(session, key).ended_at == run_of(session, key).started_at
    seen = a_run(session, create(session, name="other"), NOW)
    ending = Ending(RunState.FAILED, NOW - seconds(1))
    assert runs.observe_end(session, seen, ending, started_at=NOW)
    assert run_of(session, seen).ended_at == NOW


def test_a_start_that_was_seen_is_not_forgotten(session: Session) -> None:
    key = a_run(session, create(session), NOW)
    assert runs.observe(session, key, state=RunState.RUNNING, started_at=NOW + seconds(1))
    assert not runs.observe(session, key, state=RunState.RUNNING, started_at=NOW + seconds(2))
    assert runs.observe(session, key, state=RunState.RETRYING, started_at=None)
    assert runs.observe_end(session, key, DONE, started_at=None)
    assert run_of(session, key).started_at == NOW + seconds(1)
    assert not runs.observe(session, key, state=RunState.RUNNING, started_at=NOW)


def test_a_cancellation_is_asked_for_once_and_reaches_the_worker(session: Session) -> None:
    key, worker_id = a_claimed_run(session)
    assert list(runs.cancel_requested_of(session, worker_id)) == []
    assert runs.request_cancel(session, key.id, now=NOW + seconds(1)).cancel_requested_at == NOW + seconds(1)
    assert runs.request_cancel(session, key.id, now=NOW + seconds(9)).cancel_requested_at == NOW + seconds(1)
    assert list(runs.cancel_requested_of(session, worker_id)) == [key.id]
    assert list(runs.cancel_requested_of(session, uuid4())) == []
    runs.finish(session, key, Ending(RunState.CANCELLED, NOW + minutes(2)), worker_id=worker_id)
    assert list(runs.cancel_requested_of(session, worker_id)) == []
    with pytest.raises(RunIsOver, match="cancelled"):
        runs.request_cancel(session, key.id, now=NOW)
    with pytest.raises(RunNotFound):
        runs.request_cancel(session, uuid4(), now=NOW)


def test_deleting_a_task_cancels_what_waits_and_lets_what_runs_finish(session: Session) -> None:
    key, _ = a_claimed_run(session)
    task_id = run_of(session, key).task_id
    waiting = a_run(session, task_id, NOW, trigger=Trigger.MANUAL)
    tasks.delete_task(session, task_id, actor="anna", now=NOW + minutes(1))
    assert run_of(session, waiting).cancel_requested_at == NOW + minutes(1)
    assert run_of(session, key).cancel_requested_at is None


def test_what_prefect_was_not_told_is_found_until_it_was(session: Session) -> None:
    key, worker_id = a_claimed_run(session)
    assert [run.id for run in runs.unreported(session)] == [key.id]
    runs.mark_reported(session, key, state=RunState.RUNNING)
    assert runs.unreported(session) == []
    runs.finish(session, key, DONE, worker_id=worker_id)
    runs.mark_reported(session, key, state=RunState.RUNNING)
    assert [run.id for run in runs.unreported(session)] == [key.id], "an older state was told"
    runs.mark_reported(session, key, state=RunState.COMPLETED)
    assert runs.unreported(session) == []


def test_runs_to_cancel_and_those_that_workers_hold_are_found(session: Session) -> None:
    task_id = deployed(session, name="other")
    later, waiting = a_run(session, task_id, NOW + minutes(9)), a_run(session, task_id, NOW)
    over = a_run(session, task_id, NOW, state=RunState.FAILED, ended_at=NOW)
    held, _ = a_claimed_run(session)
    assert runs.to_cancel(session) == []
    for run in (later, waiting, held):
        runs.request_cancel(session, run.id, now=NOW)
    assert [run.id for run in runs.to_cancel(session)] == [waiting.id, later.id]
    assert [run.id for run in runs.to_cancel(session, besides=[waiting.id])] == [later.id]
    assert runs.held_by_workers(session, [waiting.id, over.id, held.id, uuid4()]) == {held.id}
    assert runs.held_by_workers(session, []) == set()


def test_the_last_runs_of_tasks_are_the_newest_ones_oldest_first(session: Session) -> None:
    task_id, other = create(session), create(session, name="other")
    keys = [a_run(session, task_id, NOW + minutes(minute)) for minute in (3, 1, 2)]
    found = runs.recent_runs(session, [task_id, other], count=2)
    assert [run.id for run in found[task_id]] == [keys[2].id, keys[0].id]
    assert found[other] == []
    assert set(runs.get_many(session, [(keys[0].id, keys[0].due_at), (uuid4(), NOW)])) == {keys[0].id}
    assert runs.get_many(session, []) == {}


def last_run(session: Session, task_id: UUID) -> tuple[UUID | None, datetime | None, str | None]:
    row = status(session, task_id)
    return row.last_run_id, row.last_due_at, row.last_state


def test_the_newest_run_is_the_last_whatever_the_order_of_arrival(session: Session) -> None:
    for number, order in enumerate(permutations([0, 1, 2, 3])):
        task_id = create(session, name=f"task {number}")
        keys = {minute: a_run(session, task_id, NOW + minutes(minute)) for minute in order}
        assert last_run(session, task_id) == (keys[3].id, NOW + minutes(3), RunState.SCHEDULED)


EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([*ACTIVE_STATES, RunState.PENDING, *FINAL_STATES])), max_size=12
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(EVENTS)
def test_the_state_beside_a_task_is_that_of_its_newest_run(
    session: Session, events: list[tuple[int, RunState]]
) -> None:
    with session.begin_nested() as example:
        task_id = create(session)
        keys: dict[int, RunKey] = {}
        for number, state in events:
            key = keys.get(number) or a_run(session, task_id, NOW + minutes(number))
            keys[number] = key
            if state in FINAL_STATES:
                runs.observe_end(session, key, Ending(state, NOW + minutes(9)), started_at=None)
            else:
                runs.observe(session, key, state=state, started_at=None)
        if keys:
            newest = keys[max(keys)]
            assert last_run(session, task_id) == (newest.id, newest.due_at, run_of(session, newest).state)
        else:
            assert last_run(session, task_id) == (None, None, None)
        example.rollback()


def test_an_unknown_run_is_not_found(session: Session) -> None:
    a_worker(session)
    with pytest.raises(RunNotFound, match="no run"):
        runs.get_run(session, uuid4())

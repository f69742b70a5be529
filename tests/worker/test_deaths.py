"""What becomes of runs when a part of the system dies, or is stopped on purpose."""

import time
from datetime import timedelta
from typing import Any

import psutil
import pytest
from sqlalchemy import update

from db import workers
from db.states import Outcome, RunState
from db.tables import Run
from tests.reconciler.conftest import now
from tests.reconciler.test_loop import postgres_away
from tests.waiting import wait_until
from tests.worker.conftest import Workplace, alive
from tests.worker.test_worker import once_in, scheduled_runs, shell

pytestmark = pytest.mark.xdist_group("prefect")


def running(workplace: Workplace, command: str, **more: Any) -> tuple[Any, Any]:
    """A task and its run, which has printed its first line."""
    task = workplace.world.create(action=shell(f"echo $$; {command}"), schedule=once_in(2), **more)
    run = wait_until(lambda: workplace.runs_of(task), "the run")[0]
    wait_until(lambda: workplace.lines_of(run.id), "its first line")
    return task, run


def test_what_a_killed_worker_ran_is_killed_with_it_and_its_run_is_unknown(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = workplace.start_worker()
    task, run = running(workplace, "sleep 300 & wait")
    leader = int(workplace.lines_of(run.id)[0])
    group = [leader, *(child.pid for child in psutil.Process(leader).children(recursive=True))]
    monkeypatch.setattr(workers, "LOST_AFTER", timedelta(seconds=12))
    worker.kill()
    wait_until(lambda: not any(alive(pid) for pid in group), "the command to be gone", seconds=20)
    over = workplace.ended(task, seconds=60)[0]
    assert over.state == RunState.CRASHED
    assert "w1" in (over.error or "")
    assert [row.outcome for row in workplace.due_times_of(task)] == [Outcome.UNKNOWN]
    workplace.prefect_says(run.id, "Crashed")


def test_a_stopped_worker_hands_back_what_waits_and_another_one_runs_it(workplace: Workplace) -> None:
    first = workplace.start_worker("w1", PREFECT_WORKER_PREFETCH_SECONDS="60")
    task = workplace.world.create(action=shell("true"), schedule=once_in(20))
    wait_until(lambda: scheduled_runs(workplace), "the run in Prefect")
    first.terminate()
    workplace.start_worker("w2")
    run = workplace.ended(task)[0]
    assert (run.worker, run.state) == ("w2", RunState.COMPLETED)


def test_a_stopped_worker_lets_what_it_runs_finish(workplace: Workplace) -> None:
    worker = workplace.start_worker()
    task, _ = running(workplace, "sleep 2; echo done")
    worker.terminate()
    run = workplace.runs_of(task)[0]
    assert run.state == RunState.COMPLETED
    assert "done" in workplace.lines_of(run.id)
    assert workplace.present() == []


def test_a_stopped_worker_ends_what_takes_longer_than_its_grace_and_says_so(workplace: Workplace) -> None:
    worker = workplace.start_worker(DUETIME_STOP_GRACE_SECONDS="1")
    task, _ = running(workplace, "sleep 300")
    worker.terminate()
    run = workplace.runs_of(task)[0]
    assert run.state == RunState.CRASHED
    assert "stopped" in (run.error or "")


def test_a_held_run_starts_on_time_while_prefect_is_away_and_prefect_is_told_later(workplace: Workplace) -> None:
    workplace.start_worker(PREFECT_WORKER_PREFETCH_SECONDS="60")
    task = workplace.world.create(action=shell("true"), schedule=once_in(20))
    wait_until(lambda: scheduled_runs(workplace), "the run in Prefect")
    wait_until(lambda: (workplace.due_times_of(task)[0].due_at - now()) < timedelta(seconds=6), "its time to come near")
    workplace.server.stop()
    try:
        run = workplace.ended(task)[0]
    finally:
        workplace.server.start()
    assert run.state == RunState.COMPLETED
    assert run.lateness_seconds is not None
    assert run.lateness_seconds < 5
    workplace.prefect_says(run.id, "Completed")


def test_a_worker_that_was_declared_lost_ends_what_it_runs_and_goes_on_under_a_new_name_tag(
    workplace: Workplace,
) -> None:
    workplace.start_worker()
    task, run = running(workplace, "sleep 300")
    leader = int(workplace.lines_of(run.id)[0])
    before = workplace.present()[0].id
    with workplace.catalogue.transaction() as session:
        workers.stop(session, before, now=now())
    wait_until(lambda: not alive(leader), "its command to be ended")
    assert workplace.ended(task)[0].state == RunState.CRASHED
    after = wait_until(workplace.present, "the worker to be there again")[0]
    assert after.id != before
    other = workplace.world.create("other", action=shell("true"), schedule=once_in(2))
    assert workplace.ended(other)[0].state == RunState.COMPLETED


def test_a_task_that_must_run_at_least_once_goes_on_elsewhere_as_attempt_2(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = workplace.start_worker("w1")
    command = 'test "$DUETIME_ATTEMPT" = 2 || sleep 300; echo "$DUETIME_ATTEMPT $DUETIME_DUE_AT"'
    task, _ = running(workplace, command, on_crash="rerun")
    workplace.start_worker("w2")
    monkeypatch.setattr(workers, "LOST_AFTER", timedelta(seconds=12))
    first.kill()
    rerun, crashed = workplace.ended(task, count=2, seconds=60)
    if rerun.state == RunState.CRASHED:
        rerun, crashed = crashed, rerun
    assert (crashed.state, crashed.worker) == (RunState.CRASHED, "w1")
    assert (rerun.state, rerun.worker, rerun.trigger, rerun.attempt) == (RunState.COMPLETED, "w2", "rerun", 2)
    assert (rerun.rerun_of, rerun.due_at) == (crashed.id, crashed.due_at)
    assert [line.partition(" ")[0] for line in workplace.lines_of(rerun.id)][1:] == ["2"]
    [row] = workplace.due_times_of(task)
    assert (row.outcome, row.run_id) == (Outcome.RAN, rerun.id)
    workplace.prefect_says(crashed.id, "Crashed")
    workplace.prefect_says(rerun.id, "Completed")


def waiting_for_attempt_2(workplace: Workplace, *, delay: int) -> tuple[Any, Any]:
    """A task that fails at first, and its run, between two attempts."""
    command = 'test "$DUETIME_ATTEMPT" = 2'
    task = workplace.world.create(action=shell(command), schedule=once_in(2), retries=1, retry_delay_seconds=delay)

    def look() -> Any:
        return next((run for run in workplace.runs_of(task) if run.state == RunState.RETRYING), None)

    return task, wait_until(look, "the run to wait for its second attempt")


def test_the_next_attempt_is_made_elsewhere_when_the_worker_dies_before_it(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = workplace.start_worker("w1")
    task, before = waiting_for_attempt_2(workplace, delay=300)
    with workplace.catalogue.transaction() as session:
        session.execute(update(Run).where(Run.id == before.id).values(retry_at=now()))
    workplace.start_worker("w2")
    monkeypatch.setattr(workers, "LOST_AFTER", timedelta(seconds=12))
    first.kill()
    after = {run.state: run for run in workplace.ended(task, count=2, seconds=60)}
    rerun = after[RunState.COMPLETED]
    assert (rerun.worker, rerun.attempt, rerun.rerun_of) == ("w2", 2, before.id)
    assert [row.outcome for row in workplace.due_times_of(task)] == [Outcome.RAN]


def test_a_stopped_worker_hands_on_what_waits_for_another_attempt_and_its_delay_counts(workplace: Workplace) -> None:
    first = workplace.start_worker("w1", DUETIME_STOP_GRACE_SECONDS="60")
    task, before = waiting_for_attempt_2(workplace, delay=12)
    assert first.terminate() == 0
    workplace.start_worker("w2")
    after = {run.state: run for run in workplace.ended(task, count=2, seconds=40)}
    rerun = after[RunState.COMPLETED]
    assert "another worker" in (after[RunState.CRASHED].error or "")
    assert (rerun.worker, rerun.attempt, rerun.rerun_of) == ("w2", 2, before.id)
    assert rerun.started_at is not None
    assert rerun.started_at - before.started_at > timedelta(seconds=9)


def test_what_runs_while_postgresql_is_away_finishes_and_its_result_and_output_arrive(
    workplace: Workplace, postgres_url: str
) -> None:
    workplace.start_worker()
    task, run = running(workplace, "sleep 3; echo while it was away; sleep 6; echo when it is back; exit 3")
    with postgres_away(workplace.catalogue, postgres_url):
        end = time.monotonic() + 6
        wait_until(lambda: time.monotonic() > end, "the outage to take its time", seconds=10)
    over = workplace.ended(task, seconds=40)[0]
    assert (over.id, over.state, over.exit_code) == (run.id, RunState.FAILED, 3)
    assert workplace.lines_of(run.id)[1:3] == ["while it was away", "when it is back"]
    assert [row.outcome for row in workplace.due_times_of(task)] == [Outcome.RAN]

"""What a worker does with runs: at their time, attempt after attempt, told to Prefect, ended when somebody wants so."""

from datetime import timedelta
from typing import Any

import pytest

from db import runs, tasks
from db.states import Outcome, RunState, Trigger
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace

pytestmark = pytest.mark.xdist_group("prefect")
MANUAL = {"kind": "manual"}


def once_in(seconds: float) -> dict[str, Any]:
    return {"kind": "once", "at": (now() + timedelta(seconds=seconds)).isoformat()}


def shell(command: str) -> dict[str, Any]:
    return {"command": command}


def test_a_run_starts_at_its_time_never_early_and_everybody_knows_of_it(workplace: Workplace) -> None:
    workplace.start_worker("w1")
    task = workplace.world.create(action=shell("echo out; echo err >&2"), schedule=once_in(10))
    run = workplace.ended(task)[0]
    assert (run.state, run.trigger, run.exit_code, run.worker) == (RunState.COMPLETED, Trigger.SCHEDULE, 0, "w1")
    assert run.lateness_seconds is not None
    assert 0 <= run.lateness_seconds < 5
    assert sorted(workplace.lines_of(run.id)) == ["err", "out"]
    there = workplace.prefect_says(run.id, "Completed")
    assert there["start_time"] is not None

    def logged() -> set[str]:
        found = workplace.world.call("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [str(run.id)]}}})
        return {line["message"] for line in found}

    wait_until(lambda: {"out", "err"} <= logged(), "its lines in Prefect")
    wait_until(lambda: workplace.runs_of(task)[0].reported, "the run to be noted as told")


def test_a_run_asked_for_now_starts_within_a_second(workplace: Workplace) -> None:
    """The soonest of some: a busy machine may hold up others."""
    workplace.start_worker()
    task = workplace.world.create(schedule=MANUAL)
    wait_until(lambda: workplace.world.task(task).deployed, "its deployment")
    lateness: list[float] = []
    while len(lateness) < 10 and min(lateness, default=1) >= 1:
        run = workplace.run_now(task)
        over = workplace.ended(task, count=len(lateness) + 1)[0]
        assert (over.id, over.trigger, over.state) == (run.id, Trigger.MANUAL, RunState.COMPLETED)
        assert over.lateness_seconds is not None
        lateness.append(over.lateness_seconds)
    assert min(lateness) < 1, lateness


def test_a_test_run_does_something_else_and_leaves_the_task_as_it_was(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("echo usual; exit 1"), schedule=MANUAL)
    wait_until(lambda: workplace.world.task(task).deployed, "its deployment")
    run = workplace.run_now(task, action=shell("echo tried"))
    over = workplace.ended(task)[0]
    assert (over.id, over.trigger, over.state) == (run.id, Trigger.TEST, RunState.COMPLETED)
    assert workplace.lines_of(run.id) == ["tried"]
    assert workplace.in_prefect(run.id)["parameters"]["command"] == "echo tried"
    assert workplace.world.task(task).last_run is None
    assert workplace.due_times_of(task) == []
    workplace.run_now(task)
    assert workplace.ended(task, count=2)[0].state == RunState.FAILED


def test_attempts_follow_one_another_and_prefect_sees_the_last(workplace: Workplace) -> None:
    workplace.start_worker()
    command = 'echo "attempt $DUETIME_ATTEMPT"; test "$DUETIME_ATTEMPT" = 3'
    task = workplace.world.create(action=shell(command), schedule=once_in(2), retries=3, retry_delay_seconds=0)
    run = workplace.ended(task)[0]
    assert (run.state, run.attempt) == (RunState.COMPLETED, 3)
    printed = [line for line in workplace.lines_of(run.id) if line.startswith("attempt ")]
    assert printed == ["attempt 1", "attempt 2", "attempt 3"]
    workplace.prefect_says(run.id, "Completed")


def test_the_last_attempt_that_fails_fails_the_run_and_says_why(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("exit 7"), schedule=once_in(2), retries=1, retry_delay_seconds=0)
    run = workplace.ended(task)[0]
    assert (run.state, run.attempt, run.exit_code, run.error) == (RunState.FAILED, 2, 7, "Exited with code 7.")
    assert workplace.prefect_says(run.id, "Failed")["state"]["message"].startswith("Exited with code 7.")


def test_a_run_that_takes_too_long_is_timed_out_in_prefect_as_well(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("sleep 60"), schedule=once_in(2), timeout_seconds=1)
    run = workplace.ended(task)[0]
    assert run.state == RunState.TIMED_OUT
    workplace.prefect_says(run.id, "TimedOut")


def test_a_running_run_is_cancelled_from_the_catalogue(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("echo on; sleep 60"), schedule=once_in(2))
    run = wait_until(lambda: workplace.runs_of(task), "the run")[0]
    wait_until(lambda: "on" in workplace.lines_of(run.id), "its first line")
    with workplace.catalogue.transaction() as session:
        runs.request_cancel(session, run.id, now=now())
    assert workplace.ended(task)[0].state == RunState.CANCELLED
    workplace.prefect_says(run.id, "Cancelled")


def test_a_running_run_is_cancelled_from_prefect(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("echo on; sleep 60"), schedule=once_in(2))
    run = wait_until(lambda: workplace.runs_of(task), "the run")[0]
    workplace.prefect_says(run.id, "Running")
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    workplace.world.call("POST", f"/flow_runs/{run.id}/set_state", cancelling)
    assert workplace.ended(task)[0].state == RunState.CANCELLED
    workplace.prefect_says(run.id, "Cancelled")


def test_a_run_that_waits_for_another_attempt_is_cancelled_at_once(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("exit 1"), schedule=once_in(2), retries=1, retry_delay_seconds=600)
    run = wait_until(lambda: [run for run in workplace.runs_of(task) if run.state == RunState.RETRYING], "the wait")[0]
    workplace.prefect_says(run.id, "AwaitingRetry")
    with workplace.catalogue.transaction() as session:
        runs.request_cancel(session, run.id, now=now())
    assert workplace.ended(task)[0].state == RunState.CANCELLED


def test_a_pause_just_before_the_due_time_counts_and_prefect_does_not_keep_the_run(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("echo no"), schedule=once_in(15))
    [run] = wait_until(lambda: scheduled_runs(workplace), "the run in Prefect")
    [due] = workplace.due_times_of(task)
    wait_until(lambda: due.due_at - now() < timedelta(seconds=4), "its due time to come near")
    with workplace.catalogue.transaction() as session:
        tasks.pause_task(session, task, actor="test", now=now())

    def decided() -> Any:
        found = workplace.due_times_of(task)
        return found[0] if found and found[0].decided_at else None

    row = wait_until(decided, "the decision")
    assert (row.outcome, row.reason) == (Outcome.SKIPPED, "paused")
    assert workplace.runs_of(task) == []
    wait_until(lambda: not kept_by_prefect(workplace, run["id"]), "the run to go")


def kept_by_prefect(workplace: Workplace, run_id: str) -> Any:
    return workplace.world.call("POST", "/flow_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})


def scheduled_runs(workplace: Workplace) -> Any:
    return workplace.world.call(
        "POST", "/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    )


def test_a_run_made_in_prefect_has_the_parameters_that_it_was_made_with(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("echo usual"), schedule=MANUAL)
    deployed = wait_until(lambda: workplace.world.task(task).deployment_id, "its deployment")
    path = f"/deployments/{deployed}/create_flow_run"
    for parameters in ({}, {"command": "echo special"}, {"command": "echo never", "retries": -1}):
        scheduled = {"state": {"type": "SCHEDULED"}, "parameters": parameters, "enforce_parameter_schema": False}
        workplace.world.call("POST", path, scheduled)
        wait_until(lambda: workplace.runs_of(task), "the run")
    found = {tuple(workplace.lines_of(run.id)): run for run in workplace.ended(task, count=3)}
    assert {("usual",), ("special",)} < set(found)
    [failed] = [run for run in found.values() if run.state == RunState.FAILED]
    assert "retries" in (failed.error or "")
    assert {run.trigger for run in found.values()} == {Trigger.PREFECT}


def test_of_two_workers_each_due_time_is_run_by_one(workplace: Workplace) -> None:
    for name in ("w1", "w2"):
        workplace.start_worker(name)
    ids = [workplace.world.create(f"task {number}", schedule=once_in(6)) for number in range(20)]
    for task in ids:
        assert [run.state for run in workplace.ended(task, seconds=30)] == [RunState.COMPLETED]
    assert all(len(workplace.runs_of(task)) == 1 for task in ids)

"""The main job, over REST, on the whole system: a task runs at its time, and does what people tell it to."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.system import System
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("system")
FINAL = {"completed", "failed", "crashed", "cancelled", "timed_out"}


def shell(command: str, schedule: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": f"task-{uuid4().hex[:8]}",
        "kind": "shell",
        "action": {"command": command},
        "schedule": schedule,
        **more,
    }


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def ended(system: System, task_id: str, count: int = 1, seconds: float = 90) -> list[dict[str, Any]]:
    def look() -> list[dict[str, Any]]:
        runs = [run for run in system.runs_of(task_id) if run["state"] in FINAL]
        return runs if len(runs) >= count else []

    return wait_until(look, f"{count} ended runs of {task_id}", seconds=seconds)


def test_a_one_shot_runs_at_its_time_and_its_output_is_in_the_log(system: System) -> None:
    task = system.api("POST", "/tasks", shell("echo hello; echo oops >&2", {"kind": "once", "at": in_seconds(10)}))
    run = ended(system, task["id"])[0]
    assert run["state"] == "completed"
    assert run["trigger"] == "schedule"
    assert run["due_at"] == task["schedule"]["at"]
    assert 0 <= run["lateness_seconds"] < 5
    assert {"hello", "oops"} <= set(system.logs_of(run["id"]))
    ledger = system.api("GET", f"/tasks/{task['id']}/due-times")["items"]
    assert [(row["outcome"], row["run_id"]) for row in ledger] == [("ran", run["id"])]


def test_a_cron_task_runs_each_time_it_is_due_and_no_more_once_it_is_paused(system: System) -> None:
    every_second_second = {"kind": "cron", "cron": "* * * * * */2", "timezone": "Europe/Berlin"}
    task = system.api("POST", "/tasks", shell("date", every_second_second))
    runs = ended(system, task["id"], 4)
    assert len({run["due_at"] for run in runs}) == len(runs)
    system.api("POST", f"/tasks/{task['id']}/pause", {"reason": "enough"})
    paused = system.api("GET", f"/tasks/{task['id']}")
    assert (paused["paused"], paused["pause_reason"], paused["next_due_at"]) == (True, "enough", None)
    after = datetime.now(UTC)
    system.api("POST", f"/tasks/{task['id']}/run", {})
    wait_until(lambda: any(run["trigger"] == "manual" for run in ended(system, task["id"])), "the run by hand")
    scheduled = [run for run in system.runs_of(task["id"]) if run["trigger"] == "schedule"]
    assert all(datetime.fromisoformat(run["due_at"]) <= after for run in scheduled)


def test_an_edit_counts_at_the_next_due_time(system: System) -> None:
    task = system.api("POST", "/tasks", shell("echo before", {"kind": "once", "at": in_seconds(15)}))
    edited = {**task, "action": {"command": "echo after"}}
    system.api("PUT", f"/tasks/{task['id']}", edited, {"If-Match": f'"{task["version"]}"'})
    run = ended(system, task["id"])[0]
    assert run["task_version"] == 2
    assert "after" in system.logs_of(run["id"])
    assert "before" not in system.logs_of(run["id"])


def test_a_deleted_task_does_not_run_and_comes_back_when_it_is_restored(system: System) -> None:
    task = system.api("POST", "/tasks", shell("echo back", {"kind": "cron", "cron": "* * * * * */2"}))
    system.api("DELETE", f"/tasks/{task['id']}")
    wait_until(lambda: system.api("GET", f"/tasks/{task['id']}")["deployment_id"] is None, "its deployment to be gone")
    trash = system.api("GET", "/tasks?state=deleted&limit=500")["items"]
    assert task["id"] in {one["id"] for one in trash}
    before = len(system.runs_of(task["id"]))
    system.api("POST", f"/tasks/{task['id']}/restore")
    ended(system, task["id"], before + 1)
    system.api("DELETE", f"/tasks/{task['id']}")


def test_a_running_task_is_cancelled_with_everything_it_started(system: System) -> None:
    command = "echo started; sleep 300 & wait"
    task = system.api("POST", "/tasks", shell(command, {"kind": "manual"}))
    run = system.api("POST", f"/tasks/{task['id']}/run", {})
    wait_until(lambda: "started" in system.logs_of(run["id"]), "its first line")
    system.api("POST", f"/runs/{run['id']}/cancel")
    over = ended(system, task["id"])[0]
    assert over["state"] == "cancelled"


def test_a_task_that_fails_is_tried_again(system: System) -> None:
    command = 'echo "attempt $DUETIME_ATTEMPT"; test "$DUETIME_ATTEMPT" = 2'
    task = system.api("POST", "/tasks", shell(command, {"kind": "manual"}, retries=2, retry_delay_seconds=1))
    run = system.api("POST", f"/tasks/{task['id']}/run", {})
    over = ended(system, task["id"])[0]
    run = system.api("GET", f"/runs/{run['id']}")  # it may have been answered before it was made
    assert (over["id"], over["state"], over["attempt"], over["exit_code"]) == (run["id"], "completed", 2, 0)
    assert {"attempt 1", "attempt 2"} <= set(system.logs_of(run["id"]))


def test_every_kind_runs(system: System) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "http": {"method": "GET", "url": f"{system.url}/healthz"},
        "python": {"callable": "platform:platform"},
        "flow": {"entrypoint": "flows.shell.shell", "parameters": {"command": "echo from a flow"}},
    }
    for kind, action in kinds.items():
        document = shell("", {"kind": "manual"}, kind=kind, action=action)
        task = system.api("POST", "/tasks", document)
        system.api("POST", f"/tasks/{task['id']}/run", {})
        run = ended(system, task["id"])[0]
        assert run["state"] == "completed", (kind, run, system.logs_of(run["id"]))

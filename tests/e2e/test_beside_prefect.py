"""Prefect's own tools beside ours: its CLI, its stock worker, deployments as code."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_main_job import ended, shell
from tests.system import DUETIME, System
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("system")
PROJECT = Path(__file__).parents[2]


def test_the_prefect_cli_lists_and_runs_a_task(system: System) -> None:
    task = system.api("POST", "/tasks", shell("echo by prefect", {"kind": "manual"}))
    wait_until(lambda: system.api("GET", f"/tasks/{task['id']}")["deployment_id"], "its deployment")
    assert task["name"] in system.prefect("deployment", "ls")
    system.prefect("deployment", "run", f"shell/{task['name']}")
    run = ended(system, task["id"])[0]
    assert (run["state"], run["trigger"]) == ("completed", "prefect")
    assert "by prefect" in system.logs_of(run["id"])


def test_a_run_is_cancelled_by_the_prefect_cli(system: System) -> None:
    task = system.api("POST", "/tasks", shell("echo started; sleep 300", {"kind": "manual"}))
    run = system.api("POST", f"/tasks/{task['id']}/run", {})
    wait_until(lambda: "started" in system.logs_of(run["id"]), "its first line")
    run = system.api("GET", f"/runs/{run['id']}")  # it may have been answered before it was made
    system.prefect("flow-run", "cancel", run["id"])
    assert ended(system, task["id"])[0]["state"] == "cancelled"


def test_what_prefect_yaml_deploys_shows_up_as_tasks_and_runs(system: System) -> None:
    subprocess.run(
        [DUETIME.with_name("prefect"), "--no-prompt", "deploy", "--all"],
        cwd=PROJECT,
        env=os.environ
        | {"PREFECT_API_URL": system.prefect_url, "PREFECT_HOME": str(system.data_dir.parent / "prefect-cli")},
        check=True,
        capture_output=True,
        timeout=120,
    )

    def found() -> dict[str, str]:
        names = {task["name"]: task["id"] for task in system.api("GET", "/tasks?limit=500")["items"]}
        return names if {"housekeeping", "disk-space", "python-greeting"} <= set(names) else {}

    names = wait_until(found, "the three tasks of prefect.yaml", seconds=120)
    housekeeping = system.api("GET", f"/tasks/{names['housekeeping']}")
    assert housekeeping["kind"] == "flow"
    for name in ("housekeeping", "disk-space"):
        system.api("POST", f"/tasks/{names[name]}/run", {})
        run = ended(system, names[name])[0]
        assert run["state"] == "completed", (name, run, system.logs_of(run["id"]))


@pytest.fixture
def stock_worker(system: System) -> Iterator[str]:
    """A pool of type process, with Prefect's own worker at it."""
    system.prefect("work-pool", "create", "stock", "--type", "process", "--overwrite")
    environment = os.environ | {"PREFECT_API_URL": system.prefect_url, "PREFECT_WORKER_QUERY_SECONDS": "2"}
    environment["PREFECT_HOME"] = str(system.data_dir.parent / "prefect-stock")
    worker = subprocess.Popen(
        [DUETIME.with_name("prefect"), "worker", "start", "--pool", "stock"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield "stock"
    worker.kill()  # it takes its time otherwise, and how it ends is nobody's business here
    worker.wait(60)


def test_a_stock_process_worker_runs_a_task_as_well(system: System, stock_worker: str) -> None:
    task = system.api("POST", "/tasks", shell("echo stock", {"kind": "manual"}, work_pool=stock_worker))
    system.api("POST", f"/tasks/{task['id']}/run", {})
    assert ended(system, task["id"], seconds=120)[0]["state"] == "completed"

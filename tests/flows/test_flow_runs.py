"""Our kinds as genuine Prefect flows: called from Python, and executed by Prefect's own process worker."""

import json
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect import Flow

from db.specs import ATTEMPTS, TASK_LABEL, parse_task, task_key
from flows.flow_runs import Policy
from flows.http import http
from flows.python import python
from flows.shell import shell
from reconciler import deployments
from tests.flows.conftest import TASK_ID, is_alive
from tests.flows.test_http import Site
from tests.flows.test_http import site as site
from tests.prefect_server import PrefectServer
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("prefect")

CALLS = """
import json, sys
from flows.http import http
from flows.python import python
from flows.shell import shell
flows = {"shell": shell, "http": http, "python": python}
for name, parameters in json.loads(sys.argv[1]):
    state = flows[name](**parameters, return_state=True)
    print("STATE", json.dumps([state.type.value, state.name, state.message]))
"""


def called(server: PrefectServer, *calls: tuple[str, dict[str, Any]]) -> list[list[str]]:
    """The states in which the flows ended, each with its type, its name and its message."""
    words = [sys.executable, "-c", CALLS, json.dumps(calls)]
    done = subprocess.run(words, env=server.environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("STATE ")]


def runs_of(server: PrefectServer) -> list[dict[str, Any]]:
    """The flow runs that there are, in the order of their start, with what they logged."""
    with httpx.Client(base_url=server.url, timeout=20) as client:
        runs = client.post("/flow_runs/filter", json={"sort": "START_TIME_ASC"}).raise_for_status().json()
        logs = client.post("/logs/filter", json={"sort": "TIMESTAMP_ASC"}).raise_for_status().json()
    for run in runs:
        run["lines"] = [log["message"] for log in logs if log["flow_run_id"] == run["id"]]
    return runs  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("flow", "required"),
    [
        (shell, {"command": "true"}),
        (http, {"url": "http://127.0.0.1/"}),
        (python, {"callable": "platform:platform"}),
    ],
)
def test_a_flow_takes_what_the_reconciler_gives_it_and_has_the_defaults_of_a_task(
    flow: Flow[..., Any], required: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[Any, Policy]] = []
    attempt = f"flows.{flow.name}.attempt_in_flow"
    monkeypatch.setattr(attempt, lambda _, action, policy: taken.append((action, policy)))
    task = parse_task({"name": "x", "kind": flow.name, "action": required, "schedule": {"kind": "manual"}})
    flow.fn(**required)
    flow.fn(**deployments.parameters(task))
    wanted = (task.action, Policy(**{field: getattr(task, field) for field in ATTEMPTS}))
    assert taken == [wanted, wanted]


def test_each_flow_runs_when_it_is_called_and_its_output_is_in_its_log(
    prefect_server: PrefectServer, site: Site
) -> None:
    states = called(
        prefect_server,
        ("shell", {"command": "echo hi; echo oops >&2; echo $DUETIME_ATTEMPT"}),
        ("python", {"callable": "operator:add"}),
        ("python", {"callable": "platform:python_implementation"}),
        ("http", {"url": f"{site.url}/status/200", "json": {"a": 1}}),
    )
    assert [name for _, name, _ in states] == ["Completed", "Failed", "Completed", "Completed"]
    echoed, _, implementation, request = runs_of(prefect_server)
    assert {"hi", "oops", "1"} <= set(echoed["lines"])
    assert "Returned 'CPython'" in implementation["lines"]
    assert "this is why" in request["lines"]
    assert json.loads(site.asked[0].body) == {"a": 1}


def test_a_flow_fails_with_the_error_as_its_message(prefect_server: PrefectServer) -> None:
    states = called(
        prefect_server,
        ("shell", {"command": "exit 3"}),
        ("shell", {"command": "sleep 60", "timeout_seconds": 1}),
        ("python", {"callable": "nosuchmodule:f"}),
        ("shell", {"command": " "}),
        ("http", {"url": "no url"}),
    )
    assert states[:3] == [
        ["FAILED", "Failed", "Exited with code 3."],
        ["FAILED", "TimedOut", "Timed out after 1 s."],
        ["FAILED", "Failed", "ModuleNotFoundError: No module named 'nosuchmodule'"],
    ]
    assert [name for _, name, _ in states[3:]] == ["Failed", "Failed"]
    assert "Must not be blank." in states[3][2]
    assert "Must be a URL" in states[4][2]


def test_a_flow_is_attempted_again_in_its_body(prefect_server: PrefectServer, tmp_path: Path) -> None:
    command = f"echo attempt $DUETIME_ATTEMPT >> {tmp_path}/attempts; test $DUETIME_ATTEMPT = 3"
    retries = {"retries": 2, "retry_delay_seconds": 0, "retry_backoff": "exponential"}
    never = {"command": "exit 1", "retries": 1, "retry_delay_seconds": 0}
    states = called(prefect_server, ("shell", {"command": command, **retries}), ("shell", never))
    assert [state[1:] for state in states] == [["Completed", None], ["Failed", "Exited with code 1."]]
    assert (tmp_path / "attempts").read_text().split() == ["attempt", "1", "attempt", "2", "attempt", "3"]
    first, second = runs_of(prefect_server)
    assert "Exited with code 1. Attempt 2 of 3 follows in 0.0 s." in first["lines"]
    assert sum("follows in" in line for line in second["lines"]) == 1


def _deployed(client: httpx.Client, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """A run of a deployment such as the reconciler makes it, in a pool of Prefect's process type."""
    pool = client.post("/work_pools/", json={"name": f"stock-{uuid4()}", "type": "process"}).raise_for_status().json()
    flow_id = client.post("/flows/", json={"name": name}).raise_for_status().json()["id"]
    body = {
        "name": "stock",
        "flow_id": flow_id,
        "entrypoint": f"flows.{name}.{name}",
        "pull_steps": [],
        "parameters": parameters,
        "labels": {TASK_LABEL: str(TASK_ID)},
        "work_pool_name": pool["name"],
    }
    deployment = client.post("/deployments/", json=body).raise_for_status().json()
    run: dict[str, Any] = (
        client.post(f"/deployments/{deployment['id']}/create_flow_run", json={"state": {"type": "SCHEDULED"}})
        .raise_for_status()
        .json()
    )
    return run


def _stock_worker(server: PrefectServer, pool: str) -> "subprocess.Popen[bytes]":
    words = ["worker", "start", "--pool", pool, "--type", "process", "--run-once"]
    prefect = Path(sys.executable).with_name("prefect")
    with (server.home / "worker.log").open("wb") as log:
        return subprocess.Popen([prefect, *words], env=server.environment, stdout=log, stderr=log)


def test_a_stock_process_worker_runs_our_deployments(prefect_server: PrefectServer, site: Site) -> None:
    with httpx.Client(base_url=prefect_server.url, timeout=20) as client:
        run = _deployed(client, "http", {"url": f"{site.url}/status/200", "retry_backoff": "constant"})
        worker = _stock_worker(prefect_server, run["work_pool_name"])
        try:
            assert worker.wait(150) == 0
        finally:
            worker.kill()
        ended = client.get(f"/flow_runs/{run['id']}").json()
    assert ended["state_name"] == "Completed", (prefect_server.home / "worker.log").read_text()
    due_at = datetime.fromisoformat(ended["expected_start_time"])
    assert site.asked[0].headers["idempotency-key"] == task_key(TASK_ID, due_at)


def test_whoever_ends_the_process_of_a_flow_ends_its_command(prefect_server: PrefectServer, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = "from flows.shell import shell; import sys; shell(command=sys.argv[1])"
    command = f"trap 'echo tidying > {tmp_path}/tidied; exit 0' TERM; sleep 60 & echo $$ $! > {pids}; wait"
    process = subprocess.Popen(
        [sys.executable, "-c", code, command],
        env=prefect_server.environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: pids.exists() and pids.read_text(), "the command to run")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) != 0
    finally:
        process.kill()
    assert (tmp_path / "tidied").exists()
    wait_until(lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split()), "the command's end", seconds=20)
    assert [run["state_type"] for run in runs_of(prefect_server)] == ["CRASHED"]

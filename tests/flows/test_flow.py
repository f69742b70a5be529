"""Flow attempts: flows that a user wrote, on a real Prefect server, which is asked afterwards what it knows."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from db import retention, tasks
from db.actions import FlowAction
from db.engine import Catalogue
from db.specs import parse_task
from db.states import Level, RunState
from flows import children, kinds
from flows.attempts import Result
from flows.flow import is_ours, result_of
from flows.processes import Ending
from tests.conftest import as_worker
from tests.dashboard.task_documents import example
from tests.flows.conftest import Log, Under, an_attempt, begun, is_alive, nothing, until
from tests.prefect_server import PrefectServer
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("prefect")

GARDEN = """
import logging, os, subprocess, sys, time
from prefect import flow, get_run_logger, pause_flow_run, suspend_flow_run, task
from prefect.states import Cancelled, Failed

@task
def double(n):
    return n * 2

@flow
def water(litres: int, cans: int = 1):
    log = get_run_logger()
    log.info("Watering with %s", double(litres))
    log.warning("Two\\nlines")
    log.debug("not shown")
    print("a print")
    print("an aside", file=sys.stderr)
    logging.getLogger("garden").error("from a library")
    return litres * cans

@flow(log_prints=True)
def chatty():
    print("a print that is logged")

@flow
def dig():
    raise ValueError("a stone")

@flow
async def grow(days: int):
    import asyncio
    await asyncio.sleep(0.01)
    get_run_logger().info("grown for %s", days)

@flow
def harvest():
    yield "apple"
    print("one apple")
    yield "pear"

@flow
async def glean():
    yield "nut"
    print("one nut")

@flow
def end_as(name):
    return {"cancelled": Cancelled(message="rain"), "timed": Failed(name="TimedOut", message="too slow")}[name]

@flow(timeout_seconds=0.2)
def dawdle():
    time.sleep(20)

@flow
def leave():
    sys.exit(3)

@flow
def rest():
    suspend_flow_run(timeout=60)

def on_cancellation(flow, flow_run, state):
    print("tools are put away")

@flow(on_cancellation=[on_cancellation])
def mow():
    hired = subprocess.Popen(["sleep", "60"])
    print(os.getpid(), hired.pid)
    time.sleep(60)

@flow(on_cancellation=[on_cancellation])
async def mow_async():
    import asyncio
    print(os.getpid(), os.getpid())
    await asyncio.sleep(60)

@flow(retries=1)
def stumble():
    from prefect.runtime import flow_run
    if flow_run.run_count == 1:
        raise ValueError("stumbled")
    print("second try")

@flow
def environment():
    for name, value in os.environ.items():
        print(f"{name}={value}")

def fetch(directory):
    return {"directory": directory}

def not_a_flow():
    pass
"""


@dataclass
class Garden:
    """A Prefect server, an event loop with a warm zygote in it, and flows in a module that only the worker can find."""

    http: httpx.Client
    loop: "asyncio.Runner"
    home: Path

    def run_of(self, name: str, **body: Any) -> UUID:
        """A flow run that is due."""
        flow = self.call("POST", "/flows/", {"name": name})["id"]
        body = {"flow_id": flow, "state": {"type": "SCHEDULED"}} | body
        return UUID(self.call("POST", "/flow_runs/", body)["id"])

    def attempt(
        self,
        name: str,
        parameters: dict[str, Any] | None = None,
        *,
        meanwhile: Callable[[Under], Awaitable[None]] = nothing,
        entrypoint: str | None = None,
        **changes: Any,
    ) -> tuple[Result, Log, Any]:
        """Performs one attempt; what it came to here, what it wrote, and the flow run as Prefect has it then."""
        action = FlowAction(entrypoint=entrypoint or f"garden:{name}", parameters=parameters or {})
        changes.setdefault("run_id", self.run_of(name.replace("_", "-")))
        result, log = self.loop.run(begun(meanwhile, action, **changes))
        return result, log, self.flow_run(changes["run_id"])

    def flow_run(self, run_id: UUID) -> Any:
        return self.call("GET", f"/flow_runs/{run_id}")

    def states_of(self, run_id: str) -> list[str]:
        states = self.http.get("/flow_run_states/", params={"flow_run_id": run_id}).raise_for_status().json()
        return [state["name"] for state in states]

    def logs_of(self, run_id: str) -> list[str]:
        query = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
        return [log["message"] for log in self.call("POST", "/logs/filter", query)]

    def call(self, method: str, path: str, json: Any = None) -> Any:
        return self.http.request(method, path, json=json).raise_for_status().json()


@pytest.fixture(scope="module")
def module_patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def garden(
    shared_prefect_server: PrefectServer, module_patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Garden]:
    home = tmp_path_factory.mktemp("garden")
    (home / "garden.py").write_text(GARDEN)
    (home / "broken.py").write_text("import nosuchmodule\n")
    for name, text in shared_prefect_server.environment.items():
        module_patch.setenv(name, text)
    module_patch.setenv("PYTHONPATH", str(home))
    module_patch.setenv("DUETIME_DATABASE_URL", "postgresql://duetime:sesame@here/duetime")
    module_patch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql://prefect:sesame@here/prefect")
    with httpx.Client(base_url=shared_prefect_server.url, timeout=20) as http, asyncio.Runner() as loop:
        yield Garden(http, loop, home)
        loop.run(kinds.close())


# A flow runs as its author expects.


def test_a_flow_runs_on_its_flow_run_with_its_tasks_and_its_log_in_prefect_and_here(garden: Garden) -> None:
    result, log, flow_run = garden.attempt("water", {"litres": 3})
    assert result == Result(RunState.COMPLETED, told_prefect=True)
    assert garden.states_of(flow_run["id"]) == ["Scheduled", "Pending", "Running", "Completed"]
    assert flow_run["parameters"] == {"litres": 3}

    def states_of_its_tasks() -> list[str]:
        tasks = garden.call("POST", "/task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run["id"]]}}})
        return [task["state_name"] for task in tasks]

    # Prefect's server takes them from events, behind everything else.
    wait_until(lambda: states_of_its_tasks() == ["Completed"], "Prefect to know of its task")
    assert "Watering with 6" in garden.logs_of(flow_run["id"])
    levels = {line.message: line.level for line in log.lines}
    assert levels["Watering with 6"] is Level.INFO
    assert (levels["Two"], levels["lines"]) == (Level.WARNING, Level.WARNING)
    assert levels["from a library"] is Level.ERROR
    assert "a print" in log.stdout
    assert log.stderr == ["an aside"]
    assert "not shown" not in levels
    assert [line.message for line in log.lines].count("Watering with 6") == 1


def test_prints_that_a_flow_logs_are_there_once(garden: Garden) -> None:
    _, log, flow_run = garden.attempt("chatty")
    assert log.stdout.count("a print that is logged") == 1
    assert "a print that is logged" in garden.logs_of(flow_run["id"])


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("grow", {"days": 3}, "grown for 3"),
        ("harvest", {}, "one apple"),
        ("glean", {}, "one nut"),
        ("stumble", {}, "second try"),
    ],
)
def test_every_sort_of_flow_is_run_to_its_end(garden: Garden, name: str, parameters: dict[str, Any], said: str) -> None:
    result, log, flow_run = garden.attempt(name, parameters)
    assert (result.state, flow_run["state_name"]) == (RunState.COMPLETED, "Completed")
    assert said in log.stdout


@pytest.mark.parametrize("notation", ["garden:chatty", "garden.chatty", "{home}/garden.py:chatty"])
def test_a_flow_is_found_by_each_notation(garden: Garden, notation: str) -> None:
    result, *_ = garden.attempt("chatty", entrypoint=notation.format(home=garden.home))
    assert result.state is RunState.COMPLETED


@pytest.mark.parametrize("entrypoint", ["elsewhere.py:chatty", "elsewhere.chatty"])
def test_a_flow_is_found_where_the_pull_steps_of_its_deployment_put_it(
    garden: Garden, tmp_path: Path, entrypoint: str
) -> None:
    (tmp_path / "elsewhere.py").write_text(GARDEN)
    flow_id = garden.call("POST", "/flows/", {"name": "chatty"})["id"]
    step = {"garden.fetch": {"directory": str(tmp_path)}}
    deployment = {"name": "pulled", "flow_id": flow_id, "pull_steps": [step], "entrypoint": entrypoint}
    deployment_id = garden.call("POST", "/deployments/", deployment)["id"]
    run_id = garden.run_of("chatty", deployment_id=deployment_id)
    result, *_ = garden.attempt("chatty", entrypoint=entrypoint, run_id=run_id)
    assert result == Result(RunState.COMPLETED, told_prefect=True)


def test_the_parameters_of_the_task_count_and_those_of_the_flow_run_become_the_same(garden: Garden) -> None:
    run_id = garden.run_of("water", parameters={"litres": 1})
    _, log, flow_run = garden.attempt("water", {"litres": 4}, run_id=run_id)
    assert "Watering with 8" in log.stdout
    assert flow_run["parameters"] == {"litres": 4}


def test_a_second_attempt_runs_on_the_same_flow_run(garden: Garden) -> None:
    first, _, flow_run = garden.attempt("water", {"litres": "much"})
    second, _, flow_run = garden.attempt("water", {"litres": 1}, run_id=UUID(flow_run["id"]), number=2)
    assert (first.state, second.state) == (RunState.FAILED, RunState.COMPLETED)
    assert garden.states_of(flow_run["id"])[-4:] == ["Failed", "Pending", "Running", "Completed"]


def test_a_flow_knows_its_task_and_how_to_reach_prefect_and_no_database(garden: Garden) -> None:
    _, log, flow_run = garden.attempt("environment")
    given = dict(line.split("=", 1) for line in log.stdout if "=" in line)
    assert (given["DUETIME_TASK"], given["DUETIME_RUN_ID"]) == ("backup", flow_run["id"])
    assert given["PREFECT_API_URL"] == os.environ["PREFECT_API_URL"]
    assert "sesame" not in log.text


def test_flows_of_this_package_alone_may_see_the_catalogue() -> None:
    ours = ["flows.housekeeping.housekeeping", "flows.housekeeping:housekeeping"]
    theirs = ["flows.py:water", "flowsomething.x:y", "garden:water", "flows.x/flows.py:water"]
    assert all(is_ours(path) for path in ours)
    assert not any(is_ours(path) for path in theirs)


def test_the_housekeeping_flow_reaches_the_catalogue_that_the_worker_has(
    garden: Garden, migrated: str, fresh_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker, which may remove nothing: a reconciler does it, because a task says so."""
    entrypoint = "flows.housekeeping.housekeeping"
    with fresh_database(template=migrated) as url:
        monkeypatch.setenv("DUETIME_DATABASE_URL", as_worker(url))
        catalogue = Catalogue(url, application_name="duetime-test")
        spec = parse_task(example("flow", action={"entrypoint": entrypoint, "parameters": {"keep_trash_days": 30}}))
        with catalogue.transaction() as session:
            tasks.create_task(session, spec, actor="ada", now=datetime.now(UTC))
        with reconciling(catalogue):
            result, log, _ = garden.attempt("housekeeping", entrypoint=entrypoint)
            assert result.state is RunState.COMPLETED, log.text
            with catalogue.transaction() as session:
                tasks.delete_task(
                    session, tasks.task_by_name(session, spec.name) or uuid4(), actor="ada", now=datetime.now(UTC)
                )
            result, _, _ = garden.attempt("housekeeping", entrypoint=entrypoint)
            assert result.state is RunState.FAILED
            assert "No task says that things are kept for so long" in (result.error or "")
        catalogue.close()


@contextmanager
def reconciling(catalogue: Catalogue) -> Iterator[None]:
    """Somebody looks for what is to be removed."""
    stopped = threading.Event()

    def look() -> None:
        while not stopped.wait(0.1):
            with catalogue.transaction() as session:
                retention.fulfil(session, now=datetime.now(UTC))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_after_the_first_one_a_flow_starts_fast(garden: Garden) -> None:
    async def to_the_first_line(under: Under) -> None:
        await until(lambda: "a print that is logged" in under.log.stdout, "the flow's print")
        took.append(time.monotonic() - began)

    took: list[float] = []
    garden.loop.run(children.PREFECT.close())
    for _ in range(4):
        run_id = garden.run_of("chatty")
        began = time.monotonic()
        garden.attempt("chatty", run_id=run_id, meanwhile=to_the_first_line)
    first, *others = took
    assert min(others) < first / 2


# A flow fails.


@pytest.mark.parametrize(
    ("name", "parameters", "state", "error", "in_prefect"),
    [
        ("dig", {}, RunState.FAILED, "Flow run encountered an exception: ValueError: a stone", "Failed"),
        ("end_as", {"name": "cancelled"}, RunState.CANCELLED, "rain", "Cancelled"),
        ("end_as", {"name": "timed"}, RunState.TIMED_OUT, "too slow", "TimedOut"),
        ("dawdle", {}, RunState.TIMED_OUT, "Flow run exceeded timeout of 0.2 second(s)", "TimedOut"),
    ],
)
def test_the_state_in_which_a_flow_ends_is_the_result(
    garden: Garden, name: str, parameters: dict[str, Any], state: RunState, error: str, in_prefect: str
) -> None:
    result, _, flow_run = garden.attempt(name, parameters)
    assert result == Result(state, error=error, told_prefect=True)
    assert flow_run["state_name"] == in_prefect


def test_a_flow_that_leaves_its_process_has_crashed(garden: Garden) -> None:
    result, _, flow_run = garden.attempt("leave")
    assert (result.state, result.told_prefect, flow_run["state_type"]) == (RunState.CRASHED, True, "CRASHED")


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [
        ("nosuchmodule:f", "No module named 'nosuchmodule'"),
        ("broken:f", "No module named 'nosuchmodule'"),
        ("garden:nosuch", "'nosuch' not found in 'garden'"),
        ("garden:not_a_flow", "Make sure that it is decorated with '@flow'."),
        ("nosuchfile.py:f", "nosuchfile.py"),
    ],
)
def test_what_cannot_be_loaded_fails_with_the_reason_in_error_and_both_logs(
    garden: Garden, entrypoint: str, said: str
) -> None:
    result, log, flow_run = garden.attempt("x", entrypoint=entrypoint)
    assert (result.state, result.told_prefect) == (RunState.FAILED, False)
    assert said in (result.error or "")
    assert said in log.text
    assert said in "\n".join(garden.logs_of(flow_run["id"]))


@pytest.mark.parametrize("parameters", [{}, {"litres": 1, "gallons": 1}, {"litres": "much"}])
def test_parameters_that_do_not_fit_fail_the_attempt(garden: Garden, parameters: dict[str, Any]) -> None:
    result, log, _ = garden.attempt("water", parameters)
    assert result.state is RunState.FAILED
    assert any(name in (result.error or "") for name in ("litres", "gallons"))
    assert "Watering" not in log.text


def test_a_flow_that_suspends_itself_fails_with_the_cure(garden: Garden) -> None:
    run_id = garden.run_of("rest", deployment_id=_deployment_of(garden, "rest"))
    result, *_ = garden.attempt("rest", run_id=run_id)
    assert (result.state, result.told_prefect) == (RunState.FAILED, False)
    assert "Use pause_flow_run instead" in (result.error or "")


def test_without_prefect_a_flow_fails_and_says_so(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    garden.loop.run(children.PREFECT.close())
    try:
        result, *_ = garden.attempt("chatty")
    finally:
        garden.loop.run(children.PREFECT.close())
    assert (result.state, result.told_prefect) == (RunState.FAILED, False)
    assert "ConnectError" in (result.error or "")


def test_a_process_that_ends_without_a_word_has_failed() -> None:
    result = result_of(Ending(-9), {}, an_attempt(FlowAction(entrypoint="garden:water")))
    assert result == Result(RunState.FAILED, 137, "Ended by SIGKILL. The flow had not ended.")


# A flow is stopped.


def _pids(log: Log) -> list[int]:
    return [int(word) for line in log.stdout if line.replace(" ", "").isdecimal() for word in line.split()]


@pytest.mark.parametrize("name", ["mow", "mow_async"])
def test_a_flow_that_is_cancelled_runs_its_hooks_and_nothing_of_it_is_left(garden: Garden, name: str) -> None:
    async def meanwhile(under: Under) -> None:
        await until(lambda: _pids(under.log), "the flow to run")
        under.cancel.set()

    result, log, flow_run = garden.attempt(name, meanwhile=meanwhile)
    assert result == Result(RunState.CANCELLED, error="Flow run was cancelled.", told_prefect=True)
    assert garden.states_of(flow_run["id"])[-3:] == ["Running", "Cancelling", "Cancelled"]
    assert "tools are put away" in log.stdout
    assert not any(map(is_alive, _pids(log)))


def test_a_flow_that_takes_too_long_is_ended_and_it_is_left_to_the_worker_to_tell_prefect(garden: Garden) -> None:
    result, log, flow_run = garden.attempt("mow", timeout_seconds=15)
    assert (result.state, result.error, result.told_prefect) == (RunState.TIMED_OUT, "Timed out after 15 s.", False)
    assert flow_run["state_name"] == "Running"
    assert "tools are put away" not in log.stdout
    assert _pids(log)
    assert not any(map(is_alive, _pids(log)))


def test_a_flow_run_that_was_cancelled_in_prefect_before_it_began_does_not_begin(garden: Garden) -> None:
    run_id = garden.run_of("chatty")
    cancelling = {"state": {"type": "CANCELLING"}, "force": True}
    garden.call("POST", f"/flow_runs/{run_id}/set_state", cancelling)
    result, log, flow_run = garden.attempt("chatty", run_id=run_id)
    assert (result.state, flow_run["state_name"], log.stdout) == (RunState.CANCELLED, "Cancelled", [])


def _deployment_of(garden: Garden, name: str) -> str:
    flow_id = garden.call("POST", "/flows/", {"name": name})["id"]
    body = {"name": name, "flow_id": flow_id, "pull_steps": [], "entrypoint": f"garden.{name}"}
    return str(garden.call("POST", "/deployments/", body)["id"])

"""What nobody can handle stands aside alone, with a reason: other runs start on time, and each run gets an end."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from db.states import Outcome, RunState
from db.tables import Run
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace
from tests.worker.test_outage import made_before_the_outage
from tests.worker.test_worker import MANUAL, once_in, scheduled_runs, shell

pytestmark = pytest.mark.xdist_group("prefect")
EVERY_SECOND = {"kind": "cron", "cron": "* * * * * *", "timezone": "UTC"}
POISON = """
from prefect import flow

def nul():
    raise ValueError("a\\0b")

def surrogate():
    open("caf\\udce9.csv")

def leave():
    raise KeyboardInterrupt("\\0\\udcff")

@flow
def fails():
    raise ValueError("a\\0b\\udcff")
"""


def test_whatever_runs_fail_with_they_have_failed_and_their_tasks_run_again(workplace: Workplace) -> None:
    (workplace.home / "poison.py").write_text(POISON)
    worker = workplace.start_worker()
    schedule = once_in(8)
    python = {
        name: workplace.world.create(
            name, kind="python", action={"callable": f"poison:{name}"}, schedule=schedule, timeout_seconds=60
        )
        for name in ("nul", "surrogate", "leave")
    }
    flow = workplace.world.create("fails", kind="flow", action={"entrypoint": "poison:fails"}, schedule=schedule)
    command = r"printf 'a\0b\377\033[0m\n'; exit 3"
    prints = workplace.world.create("prints", action=shell(command), schedule=schedule)
    runs = {name: workplace.ended(task)[0] for name, task in {**python, "fails": flow, "prints": prints}.items()}
    assert {name: run.state for name, run in runs.items()} == dict.fromkeys(runs, RunState.FAILED)
    assert runs["nul"].error == "ValueError: a\ufffdb"
    assert (runs["surrogate"].error or "").startswith("FileNotFoundError")
    assert (runs["fails"].error or "").startswith("Flow run encountered an exception: ValueError: a")
    assert workplace.lines_of(runs["prints"].id)[0] == "a\ufffdb\ufffd\x1b[0m"
    for run in runs.values():
        workplace.prefect_says(run.id, "Failed")
    assert workplace.run_now(python["nul"])
    assert workplace.ended(python["nul"], count=2)[0].state == RunState.FAILED
    assert "could not be seen through" not in worker.log.read_text()


def every_second_on_time(workplace: Workplace, task: UUID, *, seconds: int) -> list[Run]:
    """The runs of a task that is due each second, of so many seconds from now on, each begun within two."""
    since = now()
    wait_until(lambda: now() > since + timedelta(seconds=seconds + 3), "its runs", seconds=seconds + 10)
    rows = [row for row in workplace.due_times_of(task) if since < row.due_at <= since + timedelta(seconds=seconds)]
    runs = {run.id: run for run in workplace.runs_of(task)}
    ran = [runs[row.run_id] for row in rows if row.run_id in runs]
    assert len(ran) >= seconds - 1, [(row.due_at, row.outcome, row.reason) for row in rows]
    assert max(run.lateness_seconds or 0 for run in ran) < 2
    return ran


def made_in_prefect(workplace: Workplace, deployment: UUID, scheduled_at: str) -> str:
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": scheduled_at}}
    run: dict[str, Any] = workplace.world.call("POST", f"/deployments/{deployment}/create_flow_run", {"state": state})
    return str(run["id"])


def test_a_run_for_whose_day_there_is_no_table_is_refused_once_and_holds_up_nobody(workplace: Workplace) -> None:
    worker = workplace.start_worker()
    task = workplace.world.create("each second", schedule=EVERY_SECOND, overlap="allow")
    asked = workplace.world.create("asked", action=shell("true"), schedule=MANUAL)
    deployment: Any = wait_until(lambda: workplace.world.task(asked).deployment_id, "its deployment")
    wait_until(lambda: workplace.runs_of(task), "the first run")
    refused = [made_in_prefect(workplace, deployment, at) for at in ("2025-01-01T00:00:00Z", "0001-01-01T00:00:00Z")]
    every_second_on_time(workplace, task, seconds=5)
    for run_id in refused:
        there = workplace.prefect_says(UUID(run_id), "Cancelled")
        assert "There is no table for runs that are due at" in there["state"]["message"]
        assert worker.log.read_text().count(f"Run {run_id}, due at") == 1
    assert workplace.runs_of(asked) == []


def late_deployments(workplace: Workplace) -> int:
    late = [run for run in scheduled_runs(workplace) if run["expected_start_time"] < f"{now():%Y-%m-%dT%H:%M:%SZ}"]
    return len({run["deployment_id"] for run in late})


def test_a_task_that_cannot_be_read_stands_aside_and_all_others_run(workplace: Workplace) -> None:
    """A time zone may be gone from the tz database, and a later version may store what this one cannot read."""
    broken = [made_before_the_outage(workplace, f"broken {number}") for number in range(2)]
    well = made_before_the_outage(workplace, "well")
    wait_until(lambda: late_deployments(workplace) == 3, "a late run of each in Prefect")
    workplace.stop_reconciler()
    with workplace.catalogue.transaction() as session:
        spoil = text("UPDATE tasks SET spec = jsonb_set(spec, :path, '\"Mars/Olympus\"') WHERE id = :id")
        for task, path in zip(broken, ("{schedule,timezone}", "{retries}"), strict=True):
            session.execute(spoil, {"path": path, "id": task})
    worker = workplace.start_worker()
    assert workplace.ended(well, seconds=20)[0].state == RunState.COMPLETED
    for task in broken:
        said = f"Task {task} cannot be read as it is stored"
        wait_until(lambda said=said: said in worker.log.read_text(), "the reason in the log")  # type: ignore[misc]
        assert workplace.due_times_of(task)[-1].outcome == Outcome.PENDING
    assert worker.process.poll() is None

"""A worker that is drained finishes what it runs and takes nothing new; the others do."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from db import workers
from db.states import RunState
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace

pytestmark = pytest.mark.xdist_group("prefect")


def drain(workplace: Workplace, name: str, *, on: bool = True) -> None:
    [worker] = [one for one in workplace.present() if one.name == name]
    with workplace.catalogue.transaction() as session:
        workers.drain(session, worker.id, on=on, actor="test", now=now())


def once_in(seconds: float) -> dict[str, str]:
    return {"kind": "once", "at": (now() + timedelta(seconds=seconds)).isoformat()}


def who_ran(workplace: Workplace, tasks: list[UUID]) -> set[str | None]:
    return {workplace.ended(task)[0].worker for task in tasks}


def test_what_runs_is_finished_and_what_waits_goes_to_another(workplace: Workplace, tmp_path: Path) -> None:
    workplace.start_worker("w1", PREFECT_WORKER_PREFETCH_SECONDS="60")
    workplace.start_worker("w2", PREFECT_WORKER_PREFETCH_SECONDS="60")
    drain(workplace, "w2")
    door = tmp_path / "door"
    long = workplace.world.create(
        "long", action={"command": f"while ! test -e {door}; do sleep 0.1; done"}, schedule=once_in(2)
    )
    wait_until(lambda: any(run.state == RunState.RUNNING for run in workplace.runs_of(long)), "the long run")
    # Held by the first worker already: it has nobody beside it.
    held = [workplace.world.create(f"held-{number}", schedule=once_in(15)) for number in range(5)]
    wait_until(lambda: all(workplace.world.task(task).deployed for task in held), "their deployments")
    drain(workplace, "w2", on=False)
    drain(workplace, "w1")
    assert who_ran(workplace, held) == {"w2"}
    assert all((workplace.ended(task)[0].lateness_seconds or 0) < 5 for task in held)
    [running] = workplace.runs_of(long)
    assert running.state == RunState.RUNNING
    assert {one.name: one.holds for one in workplace.present()} == {"w1": [running.id], "w2": []}
    door.touch()
    [over] = workplace.ended(long)
    assert (over.worker, over.state) == ("w1", RunState.COMPLETED)


def test_a_drained_worker_takes_runs_again(workplace: Workplace) -> None:
    workplace.start_worker("w1")
    drain(workplace, "w1")
    task = workplace.world.create(schedule=once_in(3))
    wait_until(lambda: workplace.world.task(task).deployed, "its deployment")
    [due] = workplace.due_times_of(task)
    wait_until(lambda: now() > due.due_at + timedelta(seconds=3), "its due time to be long past")
    assert [run for run in workplace.runs_of(task) if run.started_at] == []
    drain(workplace, "w1", on=False)
    assert workplace.ended(task)[0].worker == "w1"

"""A form that is not saved, tried at a real worker and a real Prefect server."""

import pytest

from db import run_requests, trials
from db.specs import parse_task
from db.states import RunState, Trigger
from db.tables import Run, Task, Trial
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace

pytestmark = pytest.mark.xdist_group("prefect")


def test_a_trial_runs_once_and_then_goes_into_the_trash(workplace: Workplace) -> None:
    workplace.start_worker()
    schedule = {"kind": "cron", "cron": "* * * * * *", "timezone": "UTC"}
    form = parse_task({"name": "n", "kind": "shell", "action": {"command": "echo tried"}, "schedule": schedule})
    with workplace.catalogue.transaction() as session:
        request = trials.begin(session, form, actor="anna", now=now())

    def ended() -> Run | None:
        with workplace.catalogue.transaction() as session:
            run = run_requests.run_of(session, request)
        return run if run is not None and run.ended_at is not None else None

    run = wait_until(ended, "the trial's run to end", seconds=30)
    assert run is not None
    assert (run.state, run.trigger) == (RunState.COMPLETED, Trigger.TEST)

    def is_gone() -> bool:
        with workplace.catalogue.transaction() as session:
            return session.get_one(Task, run.task_id).deleted_at is not None

    wait_until(is_gone, "the trial to go into the trash", seconds=20)
    with workplace.catalogue.transaction() as session:
        assert session.get(Trial, run.task_id) is None
    assert [each.id for each in workplace.runs_of(run.task_id)] == [run.id]
    assert workplace.due_times_of(run.task_id) == []
    assert "tried" in workplace.lines_of(run.id)

    def is_away_in_prefect() -> bool:
        found = workplace.world.call("POST", "/deployments/filter", {})
        return not any(each["name"] == run.task_name for each in found)

    wait_until(is_away_in_prefect, "its deployment to be deleted")

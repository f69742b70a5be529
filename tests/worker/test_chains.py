"""A chain at work: the second task runs when the first has ended, and is told of it."""

import pytest

from db.states import After, RunState, Trigger
from tests.waiting import wait_until
from tests.worker.conftest import Workplace

pytestmark = pytest.mark.xdist_group("prefect")
MANUAL = {"kind": "manual"}


def test_the_next_one_runs_and_knows_after_what(workplace: Workplace) -> None:
    workplace.start_worker()
    first = workplace.world.create("first", action={"command": "exit $FAILS", "env": {"FAILS": "1"}}, schedule=MANUAL)
    told = 'echo "$DUETIME_AFTER_TASK $DUETIME_AFTER_RUN_ID $DUETIME_AFTER_DUE_AT $DUETIME_AFTER_STATE"'
    cure = workplace.world.create(
        "cure", action={"command": told}, schedule=MANUAL, after=[{"task_id": str(first), "on": After.FAILED}]
    )
    never = workplace.world.create("never", schedule=MANUAL, after=[{"task_id": str(first), "on": After.SUCCEEDED}])
    for task in (first, cure, never):
        wait_until(lambda task=task: workplace.world.task(task).deployed, "its deployment")  # type: ignore[misc]
    workplace.run_now(first)
    before = workplace.ended(first)[0]
    run = workplace.ended(cure)[0]
    assert (run.state, run.trigger) == (RunState.COMPLETED, Trigger.CHAIN)
    due_at = before.due_at.isoformat().replace("+00:00", "Z")
    assert workplace.lines_of(run.id) == [f"first {before.id} {due_at} failed"]
    assert workplace.runs_of(never) == []

"""What survives: a clean restart, and the death of everything at once."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.test_main_job import ended, shell
from tests.system import System

pytestmark = pytest.mark.xdist_group("restart")


def test_after_kill_9_of_everything_a_waiting_task_runs_once_and_what_was_there_is_there(own_system: System) -> None:
    own_system.start()
    history = own_system.api("POST", "/tasks", shell("echo kept", {"kind": "manual"}))
    own_system.api("POST", f"/tasks/{history['id']}/run", {})
    old_run = ended(own_system, history["id"])[0]
    due_at = datetime.now(UTC) + timedelta(seconds=12)
    waiting = own_system.api("POST", "/tasks", shell("echo once", {"kind": "once", "at": due_at.isoformat()}))

    own_system.kill_everything()
    own_system.start()

    run = ended(own_system, waiting["id"], seconds=60)[0]
    assert run["state"] == "completed"
    assert datetime.fromisoformat(run["due_at"]) == due_at
    ledger = own_system.api("GET", f"/tasks/{waiting['id']}/due-times")["items"]
    assert [(row["outcome"], row["run_id"]) for row in ledger] == [("ran", run["id"])]
    assert "kept" in own_system.logs_of(old_run["id"])

    assert own_system.stop() == 0
    own_system.start()
    assert [run["id"] for run in own_system.runs_of(waiting["id"])] == [run["id"]]
    assert own_system.logs_of(run["id"]).count("once") == 1

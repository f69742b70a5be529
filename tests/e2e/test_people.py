"""A system that is used alone at first, and by a team afterwards."""

import re

import httpx
import pytest

from tests.system import System
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("restart")

PASSWORD = "correct horse battery"


def run_to_end(api: httpx.Client, task_id: str) -> tuple[str, list[str]]:
    """The state in which a run of the task ended, and what it printed."""
    run = api.post(f"/tasks/{task_id}/run", json={}).raise_for_status().json()["id"]

    def ended() -> str:
        state: str = api.get(f"/runs/{run}").raise_for_status().json()["state"]
        return state if state in ("completed", "failed", "crashed") else ""

    state = wait_until(ended, "the run to end", seconds=40)
    lines = api.get(f"/runs/{run}/logs").raise_for_status().json()["items"]
    return state, [line["message"] for line in lines]


def prefect_answers(system: System, auth: tuple[str, ...] = ()) -> int:
    """The status, to somebody who has the string or has none."""
    known = httpx.BasicAuth(*auth) if auth else None
    with httpx.Client(auth=known, timeout=30) as client:
        return client.post(f"{system.prefect_url}/deployments/count", json={}).status_code


def test_the_first_account_closes_every_door_and_work_goes_on(own_system: System) -> None:

    system = own_system.start()
    try:
        link = re.search(rf"{system.url}/sign-in/first\?link=(\S+)", system.output)
        assert link is not None
        auth = tuple((system.data_dir / "prefect-auth").read_text().strip().split(":"))
        assert prefect_answers(system) == prefect_answers(system, auth) == 200
        sent = {"link": link[1], "name": "ada", "password": PASSWORD}
        assert httpx.post(f"{system.url}/sign-in/first", data=sent).status_code == 303
        wait_until(lambda: httpx.get(f"{system.url}/api/tasks").status_code == 401, "the door is closed")
        wait_until(lambda: prefect_answers(system) == 401, "Prefect's door is closed")
        assert prefect_answers(system, auth) == 200
        with httpx.Client(base_url=f"{system.url}/api", auth=("ada", PASSWORD), timeout=30) as ada:
            key = ada.post("/keys", json={"name": "deploy", "role": "admin"}).raise_for_status().json()["key"]
        bearer = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"{system.url}/api", headers=bearer, timeout=30) as api:
            api.put("/secrets/TOKEN", json={"value": "hunter22"}).raise_for_status()
            task = {
                "name": "secretive",
                "kind": "shell",
                "action": {"command": 'echo "it is ${secret:TOKEN}"'},
                "schedule": {"kind": "manual"},
            }
            task_id = api.post("/tasks", json=task).raise_for_status().json()["id"]
            assert run_to_end(api, task_id) == ("completed", ["it is ***"])
            assert system.stop() == 0
            system.start()
            assert "/sign-in/first" not in system.output
            assert run_to_end(api, task_id) == ("completed", ["it is ***"])
        assert prefect_answers(system) == 401
        assert prefect_answers(system, auth) == 200
        for kept in ("prefect-auth", "secret-keys"):
            assert (system.data_dir / kept).stat().st_mode & 0o077 == 0
    finally:
        system.stop()

"""The stack as a user of its two published ports sees it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.waiting import wait_until

DASHBOARD = "http://localhost:3000"
PREFECT = "http://localhost:4200"
FINAL = {"completed", "failed", "crashed", "cancelled", "timed_out"}


def api(method: str, path: str, json: Any = None) -> Any:
    """The answer's document; fails with the problem that was answered."""
    answer = httpx.request(method, f"{DASHBOARD}/api{path}", json=json, timeout=10)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def create_task(name: str, command: str, *, in_seconds: float | None) -> dict[str, Any]:
    """A shell task that is due once so many seconds from now, or only when it is asked for."""
    at = None if in_seconds is None else datetime.now(UTC) + timedelta(seconds=in_seconds)
    schedule = {"kind": "manual"} if at is None else {"kind": "once", "at": at.isoformat()}
    return api(  # type: ignore[no-any-return]
        "POST", "/tasks", {"name": name, "kind": "shell", "action": {"command": command}, "schedule": schedule}
    )


def every(path: str) -> list[dict[str, Any]]:
    """All items of a list that fits one page."""
    answer = api("GET", path)
    assert answer["next_cursor"] is None, f"{path} has more than a page"
    return answer["items"]  # type: ignore[no-any-return]


def run_of(task: dict[str, Any], *, states: set[str], seconds: float) -> dict[str, Any]:
    """The task's only run, when it has reached one of the states."""

    def look() -> dict[str, Any]:
        runs = every(f"/runs?task_id={task['id']}")
        assert len(runs) < 2, f"{task['name']} ran {len(runs)} times"
        return runs[0] if runs and runs[0]["state"] in states else {}

    return wait_until(
        look, f"a run of {task['name']} that is {' or '.join(sorted(states))}", seconds=seconds, every=0.5
    )


def output_of(run: dict[str, Any]) -> list[str]:
    return [line["message"] for line in api("GET", f"/runs/{run['id']}/logs")["items"]]


def workers_online(auth: str) -> set[str]:
    """The names of the workers that Prefect has as online, to who knows its string."""
    name, _, password = auth.partition(":")
    address = f"{PREFECT}/api/work_pools/default/workers/filter"
    answer = httpx.post(address, json={}, auth=(name, password), timeout=10)
    return {worker["name"] for worker in answer.raise_for_status().json() if worker["status"] == "ONLINE"}

"""How late tasks start, alone on the machine: one-shots made a few seconds ahead, and runs asked for now.

    python -m bench.start_delay [--count 20] [--ahead 3] [--url http://127.0.0.1:3000]

Without `--url` a system of its own is started, in a temporary folder and on free ports, and stopped again.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.system import System


@contextmanager
def system_at(url: str | None) -> Iterator[str]:
    """The address to measure."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="duetime-bench-") as home:
        Path(home).chmod(0o755)  # as root PostgreSQL runs as another user
        system = System(Path(home) / "data").start()
        try:
            yield system.url
        finally:
            system.stop()


def created(api: httpx.Client, schedule: dict[str, Any]) -> dict[str, Any]:
    document = {"name": f"bench-{uuid4().hex[:8]}", "kind": "shell", "action": {"command": "true"}}
    return api.post("/tasks", json={**document, "schedule": schedule}).raise_for_status().json()  # type: ignore[no-any-return]


def first_run(api: httpx.Client, task_id: str) -> dict[str, Any]:
    """The task's first run, when it has ended."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        items = api.get("/runs", params={"task_id": task_id}).raise_for_status().json()["items"]
        if items and items[-1]["ended_at"]:
            return items[-1]  # type: ignore[no-any-return]
        time.sleep(0.1)
    raise TimeoutError(f"Task {task_id} did not run within 60 s.")


def one_shot(api: httpx.Client, ahead_seconds: float) -> float:
    """Seconds from the due time to the start, for a one-shot made that far ahead."""
    due_at = datetime.now(UTC) + timedelta(seconds=ahead_seconds)
    task = created(api, {"kind": "once", "at": due_at.isoformat()})
    return (datetime.fromisoformat(first_run(api, task["id"])["started_at"]) - due_at).total_seconds()


def run_now(api: httpx.Client, task_id: str) -> float:
    """Seconds from just before the request to the start of the run."""
    asked_at = datetime.now(UTC)
    run_id = api.post(f"/tasks/{task_id}/run", json={}).raise_for_status().json()["id"]
    end = time.monotonic() + 60
    while time.monotonic() < end:
        run = api.get(f"/runs/{run_id}").raise_for_status().json()
        if run["ended_at"]:
            return (datetime.fromisoformat(run["started_at"]) - asked_at).total_seconds()
        time.sleep(0.1)
    raise TimeoutError(f"Run {run_id} did not end within 60 s.")


def report(name: str, measure: Callable[[], float], count: int) -> None:
    """Prints the figures of so many measurements, in milliseconds."""
    found = sorted(measure() * 1000 for _ in range(count))
    figures = f"median {statistics.median(found):7.1f} ms   min {found[0]:7.1f} ms   max {found[-1]:7.1f} ms"
    print(f"{name:32} {figures}   ({count} runs)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--ahead", type=float, default=3.0, help="seconds")
    parser.add_argument("--url")
    options = parser.parse_args()
    with system_at(options.url) as url, httpx.Client(base_url=f"{url}/api", timeout=20) as api:
        report(f"one-shot made {options.ahead:g} s ahead", lambda: one_shot(api, options.ahead), options.count)
        manual = created(api, {"kind": "manual"})
        first_run_now = run_now(api, manual["id"])
        print(f"{'first run-now of a new task':32} {first_run_now * 1000:14.1f} ms")
        report("run now", lambda: run_now(api, manual["id"]), options.count)


if __name__ == "__main__":
    main()

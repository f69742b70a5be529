"""What many listeners to the events cost, and how soon each of them is told.

    python -m bench.listeners --database-url postgresql://... [--count 1000] [--times 20]

The dashboard is started on the catalogue, which needs to be migrated and may be empty; a task is made in it and paused
and resumed, a change each time. Times are from the commit to the arrival at each listener. It needs the developers'
packages (`make dev`). The exit code is 0 if everybody heard every change within a second.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psutil

from db import tasks
from db.engine import Catalogue
from db.specs import parse_task
from tests.browser.conftest import start_dashboard

WITHIN_SECONDS = 1.0
PATIENCE_SECONDS = 15.0
PAUSE_SECONDS = 0.5
SETTLED_SECONDS = 3.0


class Listener:
    """One connection; `arrivals` has the instant at which each version of the task was heard of."""

    def __init__(self) -> None:
        self.arrivals: dict[int, float] = {}
        self.ready = asyncio.Event()

    async def listen(self, port: int, task_id: UUID) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        path = f"/api/events?types=task.*&task_id={task_id}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"retry:"):
                    self.ready.set()
                if line.startswith(b"data:"):
                    version = int(line.partition(b'"task_version":')[2].partition(b",")[0].rstrip(b"}\n "))
                    self.arrivals[version] = time.time()
        finally:
            writer.close()


def paused_and_resumed(catalogue: Catalogue, task_id: UUID, number: int) -> float:
    """When the change was committed."""
    with catalogue.transaction() as session:
        command = tasks.pause_task if number % 2 == 0 else tasks.resume_task
        command(session, task_id, actor="bench", now=datetime.now(UTC))
    return time.time()


async def measured(catalogue: Catalogue, port: int, pid: int, *, count: int, times: int) -> bool:
    with catalogue.transaction() as session:
        document = {"name": f"bench {uuid4()}", "kind": "shell", "action": {"command": "true"}}
        task = parse_task({**document, "schedule": {"kind": "manual"}})
        task_id = tasks.create_task(session, task, actor="bench", now=datetime.now(UTC))
    process = psutil.Process(pid)
    before = process.memory_info().rss
    listeners = [Listener() for _ in range(count)]
    connections = [asyncio.create_task(each.listen(port, task_id)) for each in listeners]
    await asyncio.wait_for(asyncio.gather(*(each.ready.wait() for each in listeners)), 60)
    await asyncio.sleep(SETTLED_SECONDS)  # all of them have read what came before
    print(f"{count} listeners: {(process.memory_info().rss - before) / count / 1024:.0f} KiB each")
    cpu, began = process.cpu_times(), time.monotonic()
    taken: list[float] = []
    for number in range(times):
        committed = await asyncio.to_thread(paused_and_resumed, catalogue, task_id, number)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(number + 2 not in each.arrivals for each in listeners) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        taken += [each.arrivals.get(number + 2, float("inf")) - committed for each in listeners]
        await asyncio.sleep(PAUSE_SECONDS)
    used = process.cpu_times()
    share = (used.user + used.system - cpu.user - cpu.system) / (time.monotonic() - began)
    for each in connections:
        each.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    return _reported(sorted(taken), share)


def _reported(taken: list[float], share: float) -> bool:
    """Whether all of it was in time."""
    p50, p99, last = (1000 * taken[min(len(taken) - 1, int(len(taken) * part))] for part in (0.5, 0.99, 1))
    print(f"heard after: median {p50:.0f} ms, p99 {p99:.0f} ms, last {last:.0f} ms; share of a core {share:.2f}")
    print(f"not heard: {sum(one == float('inf') for one in taken)} of {len(taken)}")
    return last <= WITHIN_SECONDS * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    catalogue = Catalogue(options.database_url, application_name="duetime-bench")
    with tempfile.TemporaryDirectory() as folder:
        dashboard = start_dashboard(catalogue.url, Path(folder))
        try:
            port = int(dashboard.url.rpartition(":")[2])
            is_quick = asyncio.run(
                measured(catalogue, port, dashboard.process.pid, count=options.count, times=options.times)
            )
        finally:
            dashboard.stop()
            catalogue.close()
    return int(not is_quick)


if __name__ == "__main__":
    sys.exit(main())

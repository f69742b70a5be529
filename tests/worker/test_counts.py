"""What runs cost, counted: calls of Prefect, statements, processes, lines. A regression shows here, whatever the clock.

The worker's station works in this process, so that everything it does can be counted.
"""

import asyncio
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import Engine, event, func, select

from db.states import FINAL_STATES
from db.tables import RunLog
from flows import prefect_server
from flows.station import Station
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace

TOGETHER = 40
pytestmark = pytest.mark.xdist_group("prefect")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


class Counts:
    """What the station did since `forget`."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.statements: Counter[str] = Counter()
        self.processes: Counter[str] = Counter()

    def forget(self) -> None:
        for counter in (self.calls, self.statements, self.processes):
            counter.clear()

    def note_statement(self, *event: Any) -> None:
        # The reconciler of this test is in this process as well, in a thread of its own.
        if threading.current_thread().name.startswith("catalogue"):
            self.statements[" ".join(event[2].split())[:60]] += 1

    def touching(self, *tables: str) -> int:
        """Statements that begin so: what is done for runs, without heartbeats and what is asked every second."""
        return sum(count for words, count in self.statements.items() if words.startswith(tables))


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    counts = Counts()
    call, popen = prefect_server.PrefectServer.call, subprocess.Popen

    async def counted_call(self: Any, method: str, path: str, json: Any = None) -> Any:
        counts.calls[f"{method} {_ID.sub('{id}', path)}"] += 1
        return await call(self, method, path, json)

    def counted_popen(words: Any, *more: Any, **options: Any) -> Any:
        counts.processes[words[0]] += 1
        return popen(words, *more, **options)

    monkeypatch.setattr(prefect_server.PrefectServer, "call", counted_call)
    monkeypatch.setattr("flows.processes.subprocess.Popen", counted_popen)
    event.listen(Engine, "before_cursor_execute", counts.note_statement)
    try:
        yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", counts.note_statement)


@contextmanager
def a_station(workplace: Workplace) -> Iterator[None]:
    """A worker in a thread of this process."""
    stop: list[Callable[[], Any]] = []

    async def work() -> None:
        with temporary_settings({PREFECT_API_URL: workplace.server.url}):
            station = Station(
                database_url=workplace.catalogue.url, name="w1", pool="default", queues=(), slots=100,
                prefetch_seconds=10, grace_seconds=1,
            )  # fmt: skip
        working = asyncio.create_task(station.work())
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(working.cancel))
        await asyncio.gather(working, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(work()), name="station")
    thread.start()
    try:
        wait_until(workplace.present, "the station to be there", seconds=60)
        yield
    finally:
        stop[0]()
        thread.join(30)


def due_in(workplace: Workplace, seconds: float, count: int = 1) -> list[UUID]:
    """So many tasks due at one instant, all deployed."""
    at = (now() + timedelta(seconds=seconds)).isoformat()
    created = [
        workplace.world.create(f"task {seconds:g} {number}", schedule={"kind": "once", "at": at})
        for number in range(count)
    ]
    wait_until(lambda: all(workplace.world.task(task_id).deployed for task_id in created), "all deployed", seconds=60)
    return created


def all_told(workplace: Workplace, task_ids: list[UUID]) -> bool:
    found = [run for task_id in task_ids for run in workplace.runs_of(task_id)]
    return len(found) == len(task_ids) and all(run.state in FINAL_STATES and run.reported for run in found)


OF_A_CLAIM = ("SELECT tasks.id, tasks.spec", "SELECT due_times.task_id", "WITH offered")
OF_AN_END = ("SELECT tasks.id FROM", "UPDATE runs SET state")
OF_BOTH = ("UPDATE due_times", "UPDATE task_status", "UPDATE runs SET reported", "SELECT pg_notify")


def test_a_run_alone_takes_few_statements_calls_and_one_process(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counting(monkeypatch) as counts, a_station(workplace):
        [task_id] = due_in(workplace, 15)
        counts.forget()
        wait_until(lambda: all_told(workplace, [task_id]), "Prefect to know its end")
        of_run = counts.touching(*OF_A_CLAIM, *OF_AN_END, *OF_BOTH)
        # 10, and one more where Prefect was told of its beginning before it had ended.
        assert 8 <= of_run <= 11, counts.statements
        assert counts.processes == {"/bin/sh": 1}
        assert counts.calls["POST /flow_runs/{id}/set_state"] <= 2
        assert counts.calls["POST /logs/"] == 0
    with workplace.catalogue.transaction() as session:
        assert session.scalar(select(func.count()).select_from(RunLog)) == 0


def test_what_is_due_together_shares_its_statements_and_is_told_in_one_call_each(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long it takes to start them all: what begins and ends meanwhile is told in one call.
    monkeypatch.setattr("flows.telling.PATIENCE_SECONDS", 5.0)
    with counting(monkeypatch) as counts, a_station(workplace):
        task_ids = due_in(workplace, 30, TOGETHER)
        counts.forget()
        began = time.monotonic()
        wait_until(lambda: all_told(workplace, task_ids), "Prefect to know their ends", seconds=90)
        assert counts.touching(*OF_A_CLAIM) <= 4 * 2, counts.statements
        assert counts.touching(*OF_AN_END, *OF_BOTH) <= 1.5 * TOGETHER, counts.statements
        assert counts.processes == {"/bin/sh": TOGETHER}
        assert counts.calls["POST /flow_runs/{id}/set_state"] <= 1.2 * TOGETHER
        listed = counts.calls["POST /flow_runs/filter"]
        assert listed <= 20 + 2 * (time.monotonic() - began), "Prefect is asked about what is new, once a second"

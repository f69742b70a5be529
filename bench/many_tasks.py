"""Ten thousand tasks: made over REST, deployed, edited among the others, paused, and there again after a start.

    python -m bench.many_tasks [--tasks 10000] [--json figures.json]

A system of its own is started. Its tasks are due as people's are: every day at some minute, every six hours, every
week, once next month, by hand. An edit takes from its answer until Prefect has it.
"""

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from bench import cpu
from bench.machine import machine
from cli.postgres import EmbeddedPostgres
from cli.settings import CATALOGUE, prefect_database
from db.engine import Catalogue
from db.specs import ShellTask
from reconciler.comparison import reconcile_everything
from reconciler.prefect import Prefect
from tests.system import System

CLIENTS = 4
EDITS = 10
PAUSED_PART = 10
"""One in so many is paused."""
GIVE_UP_SECONDS = 3600
UNSYNCED = """
SELECT count(*) FROM tasks JOIN task_status ON task_id = id
 WHERE deleted_at IS NULL AND (synced_version IS DISTINCT FROM version OR deployment_id IS NULL)
"""
A_DEPLOYED_ONE = "SELECT task_id FROM task_status WHERE deployment_id IS NOT NULL ORDER BY random() LIMIT 1"


def document(number: int, luck: random.Random) -> dict[str, Any]:
    """A task as somebody might make it. Pure but for the luck that it is given, and the month."""
    minute, hour = luck.randrange(60), luck.randrange(24)
    next_month = (datetime.now(UTC) + timedelta(days=30, minutes=number)).isoformat()
    schedules = [
        {"kind": "cron", "cron": f"{minute} {hour} * * *", "timezone": "Europe/Berlin"},
        {"kind": "cron", "cron": f"{minute} {hour} * * 1", "timezone": "UTC"},
        {"kind": "cron", "cron": f"{minute} */6 * * *", "timezone": "America/New_York"},
        {"kind": "once", "at": next_month},
        {"kind": "manual"},
    ]
    actions: list[dict[str, Any]] = [
        {"kind": "shell", "action": {"command": "true"}},
        {"kind": "http", "action": {"method": "GET", "url": "http://127.0.0.1:9/"}},
        {"kind": "python", "action": {"callable": "builtins:dict", "kwargs": {"number": number}}},
    ]
    what = actions[0] if number % 10 else actions[1 + number // 10 % 2]
    return {"name": f"task {number}", "schedule": luck.choice(schedules), "tags": [f"team {number % 7}"], **what}


class Office:
    """The system, and the people who use it."""

    def __init__(self, home: Path) -> None:
        self.system = System(home / "data").start()
        self._luck = random.Random(1)  # noqa: S311 - the same tasks every time

    def api(self) -> httpx.Client:
        return httpx.Client(base_url=f"{self.system.url}/api", timeout=60)

    @contextmanager
    def catalogue(self, autocommit: bool = True) -> Iterator["psycopg.Connection[Any]"]:
        url = EmbeddedPostgres(self.system.data_dir / "postgres").url(CATALOGUE)
        with psycopg.connect(url, autocommit=autocommit) as connection:
            yield connection

    def create(self, count: int) -> None:
        documents = [document(number, self._luck) for number in range(count)]
        with self.api() as api, ThreadPoolExecutor(CLIENTS) as people:
            for answer in people.map(lambda one: api.post("/tasks", json=one), documents):
                answer.raise_for_status()

    def wait_until_deployed(self) -> None:
        """Returns when Prefect has every task as it is."""
        end = time.monotonic() + GIVE_UP_SECONDS
        with self.catalogue() as catalogue:
            while (left := catalogue.execute(UNSYNCED).fetchall()[0][0]) > 0:
                if time.monotonic() > end:
                    raise TimeoutError(f"{left} tasks were not deployed within {GIVE_UP_SECONDS} s.")
                time.sleep(0.5)

    def edit_one(self) -> float | None:
        """Edits a task that Prefect has; the seconds until Prefect has the edit. None where there is no such task."""
        with self.catalogue() as catalogue:
            found = catalogue.execute(A_DEPLOYED_ONE).fetchall()
        if not found:
            return None
        told = f"edited at {time.time()}"
        with self.api() as api, httpx.Client(base_url=self.system.prefect_url, timeout=60) as prefect:
            path = f"/tasks/{found[0][0]}"
            answer = api.get(path).raise_for_status()
            task = answer.json()
            edited = {field: task[field] for field in ShellTask.model_fields} | {"description": told}
            api.put(path, json=edited, headers={"If-Match": answer.headers["ETag"]}).raise_for_status()
            began = time.monotonic()
            while True:
                deployment = prefect.get(f"/deployments/{task['deployment_id']}")
                if deployment.is_success and deployment.json()["description"] == told:
                    return time.monotonic() - began
                time.sleep(0.05)

    def pause(self, count: int) -> None:
        with self.catalogue() as catalogue:
            ids = [row[0] for row in catalogue.execute("SELECT id FROM tasks ORDER BY id LIMIT %s", [count])]
        with self.api() as api, ThreadPoolExecutor(CLIENTS) as people:
            for answer in people.map(lambda one: api.post(f"/tasks/{one}/pause", json={}), ids):
                answer.raise_for_status()

    def lose_prefects_database(self) -> None:
        """While the system is stopped."""
        postgres = EmbeddedPostgres(self.system.data_dir / "postgres")
        postgres.start()
        try:
            name = prefect_database(postgres.url(CATALOGUE)).rsplit("/", 1)[-1].partition("?")[0]
            with psycopg.connect(postgres.url(), autocommit=True) as server:
                server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        finally:
            postgres.stop()


class Figures:
    """What was measured, printed as it comes."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    def note(self, name: str, value: float) -> None:
        self.found[name] = round(value, 3)
        print(f"{name}: {value:.2f}", flush=True)

    def time(self, name: str, work: Callable[[], object]) -> None:
        began = time.monotonic()
        work()
        self.note(f"{name}, s", time.monotonic() - began)

    def note_edits(self, name: str, seconds: Sequence[float]) -> None:
        if seconds:
            self.note(f"{name}: an edit, median of {len(seconds)}, s", statistics.median(seconds))
            self.note(f"{name}: an edit, longest, s", max(seconds))
            self.note(f"{name}: edits within 2 s, %", 100 * sum(one <= 2 for one in seconds) / len(seconds))


@contextmanager
def somebody_editing(office: Office) -> Iterator[list[float]]:
    """Edits go on for as long as the block takes, one every few seconds; the list fills with what they took."""
    took: list[float] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(3):
            seconds = office.edit_one()
            if seconds is not None:
                took.append(seconds)

    somebody = threading.Thread(target=go_on)
    somebody.start()
    try:
        yield took
    finally:
        over.set()
        somebody.join()


def measure(office: Office, count: int, figures: Figures) -> None:
    before, began = cpu.reading(office.system.processes()), time.monotonic()
    with somebody_editing(office) as took:
        figures.time("created over REST", partial(office.create, count))
        office.wait_until_deployed()
    figures.note("created and deployed, s", time.monotonic() - began)
    figures.note_edits("meanwhile", took)
    for part, spent in cpu.spent(before, cpu.reading(office.system.processes())).items():
        figures.note(f"CPU of {part}, ms a task", 1000 * spent / count)
    figures.note_edits("afterwards", [seconds for _ in range(EDITS) if (seconds := office.edit_one()) is not None])

    def pause() -> None:
        office.pause(count // PAUSED_PART)
        office.wait_until_deployed()

    figures.time(f"{count // PAUSED_PART} paused, and so in Prefect", pause)
    figures.time("everything compared", partial(compare_everything, office))
    office.system.stop()
    figures.time("started again, ready", office.system.start)
    office.system.stop()
    office.lose_prefects_database()
    figures.time("started with a new Prefect database, ready", office.system.start)
    with somebody_editing(office) as took:
        figures.time("and everything deployed anew", office.wait_until_deployed)
    figures.note_edits("meanwhile", took)


def compare_everything(office: Office) -> None:
    """As the reconciler does in slices, at once."""
    catalogue = Catalogue(EmbeddedPostgres(office.system.data_dir / "postgres").url(CATALOGUE))
    prefect = Prefect(office.system.prefect_url)
    try:
        reconcile_everything(catalogue, prefect)
    finally:
        prefect.close()
        catalogue.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="duetime-bench-") as home:
        Path(home).chmod(0o755)  # as root PostgreSQL runs as another user
        office = Office(Path(home))
        try:
            measure(office, chosen.tasks, figures)
        finally:
            office.system.stop()
    if chosen.json:
        found = {"machine": machine(), "tasks": chosen.tasks, "figures": figures.found}
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

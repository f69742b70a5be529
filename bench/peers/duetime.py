"""Duetime as its user starts it: `duetime up`, spoken to over REST."""

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from bench.peers.face import Place
from bench.work import Kind, Work
from cli.postgres import EmbeddedPostgres
from cli.settings import CATALOGUE, prefect_database
from tests.system import System
from tests.waiting import wait_until

T = TypeVar("T")
CLIENTS = 4
PAGE = 500
DEPLOYED_SECONDS = 1800
NEVER_NOW = {"kind": "cron", "cron": "0 0 1 1 *", "timezone": "UTC"}


def action(work: Work) -> dict[str, Any]:
    """The work in Duetime's words. Pure."""
    match work.kind:
        case Kind.SHELL:
            return {"command": work.command("$DUETIME_DUE_AT")}
        case Kind.HTTP:
            return {"method": "GET", "url": work.address}
        case Kind.PYTHON:
            return {"callable": "bench.work:stamp", "kwargs": {"task": work.task, "pipe": work.pipe}}


def document(work: Work, schedule: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A task that does the work. Pure."""
    what = {"name": work.task, "kind": work.kind, "action": action(work), "schedule": schedule}
    return {**what, "overlap": "allow", **more}


def rfc3339(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat()


class Duetime:
    """With its accelerator, which writes reports into Prefect's tables, or over Prefect's API alone."""

    def __init__(self, place: Place, *, accelerator: bool) -> None:
        self.title = "Duetime" if accelerator else "Duetime, API alone"
        self._place = place
        self._environment = {} if accelerator else {"DUETIME_ACCELERATOR": "off"}
        self._made: dict[str, str] = {}
        self._running = ExitStack()

    def missing(self) -> str | None:
        return None

    def start(self) -> None:
        folder = self._place.fresh_folder("duetime")
        self._system = System(folder / "data", environment=self._environment)
        self._running.callback(self._system.stop)
        self._system.start()
        self._api = self._running.enter_context(httpx.Client(base_url=f"{self._system.url}/api", timeout=30))
        self._made = {}

    def stop(self) -> None:
        self._running.close()

    def versions(self) -> Mapping[str, str]:
        return {name: importlib.metadata.version(name) for name in ("duetime", "prefect")}

    def parts(self) -> Mapping[str, list[int]]:
        return self._system.processes()

    def lead_seconds(self, count: int) -> float:
        return 5 + 0.2 * count

    def every_second(self, works: Sequence[Work], *, since: int, until: int) -> None:
        schedule = {"kind": "cron", "cron": "* * * * * *", "timezone": "UTC"}
        bounds = {"starts_at": rfc3339(since), "ends_at": rfc3339(until - 0.5)}
        self._make([document(work, schedule, **bounds) for work in works])

    def together(self, works: Sequence[Work], *, due: int) -> None:
        self._make([document(work, {"kind": "once", "at": rfc3339(due)}) for work in works])

    def prepare(self, work: Work) -> None:
        self._make([document(work, {"kind": "manual"})])

    def run_now(self, work: Work) -> None:
        self._api.post(f"/tasks/{self._made[work.task]}/run", json={}).raise_for_status()

    def idle(self, count: int) -> None:
        names = [f"idle-{number}" for number in range(count)]
        shell = {"kind": Kind.SHELL, "action": {"command": "true"}, "schedule": NEVER_NOW}
        self._create([{"name": name, **shell} for name in names])
        self._wait_until_deployed()

    def clear(self) -> None:
        self._each(lambda task_id: self._api.delete(f"/tasks/{task_id}"), list(self._made.values()))
        self._made = {}

    def prefect_database(self) -> str | None:
        return prefect_database(EmbeddedPostgres(self._system.data_dir / "postgres").url(CATALOGUE))

    def _make(self, documents: Sequence[dict[str, Any]]) -> None:
        names = [document["name"] for document in documents]
        self._made |= dict(zip(names, self._create(documents), strict=True))
        self._wait_until_deployed()

    def _create(self, documents: Sequence[dict[str, Any]]) -> list[str]:
        answers = self._each(lambda document: self._api.post("/tasks", json=document), documents)
        return [answer.json()["id"] for answer in answers]

    def _each(self, ask: Callable[[T], httpx.Response], those: Sequence[T]) -> list[httpx.Response]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            return [answer.raise_for_status() for answer in pool.map(ask, those)]

    def _wait_until_deployed(self) -> None:
        wait_until(self._all_deployed, "all tasks are deployed", seconds=DEPLOYED_SECONDS, every=1)

    def _all_deployed(self) -> bool:
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
            page = self._api.get("/tasks", params=query).raise_for_status().json()
            if any(task["version"] != task["synced_version"] for task in page["items"]):
                return False
            cursor = page["next_cursor"]
        return True

"""Prefect as it is delivered: its own server on PostgreSQL, and its `process` worker, which starts an interpreter for
each run."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.peers.face import PeerFailed, Place, ended, tail
from bench.work import Work
from cli.settings import for_prefect
from tests.system import free_port
from tests.waiting import wait_until

PREFECT = Path(sys.executable).with_name("prefect")
POOL = "bench"
SCHEDULED_SECONDS = 25
"""Its scheduler looks for new deployments every five seconds, its worker polls every ten."""
NEVER_NOW = {"cron": "0 0 1 1 *", "timezone": "UTC"}
TUNED = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "20"}
"""It asks every second, and starts an interpreter twenty seconds before its run is due."""
SERVER = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


def every_second(since: int, until: int) -> dict[str, str]:
    """A recurrence rule: a cron schedule has no beginning, and would keep the machine busy before. Pure."""
    first, last = (datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ") for at in (since, until - 1))
    return {"rrule": f"DTSTART:{first}\nRRULE:FREQ=SECONDLY;UNTIL={last}", "timezone": "UTC"}


class Stock:
    """With the polling that it has by default, or tuned for punctuality."""

    def __init__(self, place: Place, *, tuned: bool) -> None:
        self.title = "Prefect process worker" + (", tuned polls" if tuned else "")
        self._place = place
        self._tuned = TUNED if tuned else {}
        self._running = ExitStack()

    def missing(self) -> str | None:
        return None

    def start(self) -> None:
        self._folder = self._place.fresh_folder("prefect")
        self._database = self._place.database("prefect")
        port = free_port()
        self._url = f"http://127.0.0.1:{port}/api"
        self._api = self._running.enter_context(httpx.Client(base_url=self._url, timeout=60))
        database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": for_prefect(self._database)}
        self._server = self._prefect("server", "start", "--port", str(port), "--no-ui", **database)
        wait_until(self._answers, "Prefect's server answers", seconds=120)
        self._post("/work_pools/", {"name": POOL, "type": "process"})
        self._flow = self._post("/flows/", {"name": "work"})["id"]
        self._worker = self._prefect("worker", "start", "--pool", POOL, "--type", "process", **self._tuned)
        wait_until(self._polled, "Prefect's worker polls", seconds=120)
        self._made: dict[str, str] = {}

    def stop(self) -> None:
        self._running.close()

    def versions(self) -> Mapping[str, str]:
        return {"prefect": importlib.metadata.version("prefect")}

    def parts(self) -> Mapping[str, list[int]]:
        return {"worker": [self._worker.pid], "prefect": [self._server.pid], "postgres": self._place.postgres_pids()}

    def lead_seconds(self, count: int) -> float:
        return SCHEDULED_SECONDS + 0.1 * count

    def every_second(self, works: Sequence[Work], *, since: int, until: int) -> None:
        for work in works:
            self._deploy(work.task, parameters=asdict(work), schedule=every_second(since, until))

    def together(self, works: Sequence[Work], *, due: int) -> None:
        deployment = self._deploy("together")
        at = datetime.fromtimestamp(due, UTC).isoformat()
        for work in works:
            state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}
            self._post(f"/deployments/{deployment}/create_flow_run", {"state": state, "parameters": asdict(work)})

    def prepare(self, work: Work) -> None:
        self._deploy(work.task, parameters=asdict(work))

    def run_now(self, work: Work) -> None:
        self._post(f"/deployments/{self._made[work.task]}/create_flow_run", {"state": {"type": "SCHEDULED"}})

    def idle(self, count: int) -> None:
        for number in range(count):
            self._deploy(f"idle-{number}", schedule=NEVER_NOW)
        self._made = {}

    def clear(self) -> None:
        for deployment in self._made.values():
            self._api.delete(f"/deployments/{deployment}").raise_for_status()
        self._made = {}

    def prefect_database(self) -> str | None:
        return self._database

    def _deploy(self, name: str, *, schedule: Any = None, parameters: Any = None) -> str:
        schedules = [] if schedule is None else [{"schedule": schedule, "active": True}]
        document = {
            "name": name,
            "flow_id": self._flow,
            "work_pool_name": POOL,
            "entrypoint": "bench.peers.stock_flow.work",
            "pull_steps": [],
            "parameters": parameters or {},
            "schedules": schedules,
            "job_variables": {"working_dir": os.getcwd()},
        }
        self._made[name] = self._post("/deployments/", document)["id"]
        return self._made[name]

    def _post(self, path: str, document: Any) -> Any:
        answer = self._api.post(path, json=document)
        if not answer.is_success:
            raise PeerFailed(f"Prefect answered {answer.status_code} to {path}: {answer.text}")
        return answer.json()

    def _prefect(self, *words: str, **more: str) -> "subprocess.Popen[bytes]":
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DUETIME_"))}
        home = {"PREFECT_HOME": str(self._folder / "home"), "PREFECT_API_URL": self._url}
        with (self._folder / f"{words[0]}.log").open("ab") as log:
            environment = {**plain, **SERVER, **home, **more}
            process = subprocess.Popen([PREFECT, *words], stdout=log, stderr=log, env=environment)
        self._running.callback(_ended_with_children, process)
        return process

    def _answers(self) -> bool:
        if self._server.poll() is not None:
            raise PeerFailed(f"Prefect's server ended:\n{tail(self._folder / 'server.log')}")
        try:
            return self._api.get("/ready").is_success
        except httpx.TransportError:
            return False

    def _polled(self) -> bool:
        workers = self._post(f"/work_pools/{POOL}/workers/filter", {})
        return json.dumps(workers).find("ONLINE") >= 0


def _ended_with_children(process: "subprocess.Popen[bytes]") -> None:
    """A worker leaves the interpreters of its runs behind."""
    left = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    ended(process)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()

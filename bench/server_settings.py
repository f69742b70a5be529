"""What each setting of the Prefect server costs or saves, in CPU time for each run.

    python -m bench.server_settings [--only NAME ...] [--runs 300] [--times 1] [--idle 30] [--json figures.json]

Each setting gets an empty database and a Prefect server as `duetime up` starts it, with that one thing changed. The
same work is done over HTTP every time, eight calls at once. The baseline is measured first and last, so that the noise
shows. With `--idle` nothing runs: 200 deployments are due every minute, and the figures are ms for each second. The
settings named uvloop and httptools want these packages, which are not among Duetime's.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg import sql

from bench import cpu
from bench.machine import machine
from bench.table import plain
from cli.migrations import migrate_everything
from cli.parts import Part, Role, parts
from cli.postgres import EmbeddedPostgres
from cli.settings import add_up_options, settings_of

AT_ONCE = 8
PAGE = 20
"""Runs that are listed, and whose lines are posted, with one call."""
LINES = 3
SETTLE_SECONDS = 5
DEPLOYMENTS = 200
READY_SECONDS = 90
# uvicorn would take whatever it finds installed.
PLAIN = ("--loop", "asyncio", "--http", "h11")
SERVICES = "PREFECT_SERVER_SERVICES"
BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    """Of uvicorn's command line."""


def off(service: str) -> dict[str, str]:
    return {f"{SERVICES}_{service}_ENABLED": "false"}


LOOPS = ("LATE_RUNS", "FOREMAN", "CANCELLATION_CLEANUP", "REPOSSESSOR", "PAUSE_EXPIRATIONS", "CLEANUP_RECONCILER")
POOL = "PREFECT_SERVER_DATABASE_SQLALCHEMY"
PERSISTER = f"{SERVICES}_EVENT_PERSISTER"
SCHEDULER = f"{SERVICES}_SCHEDULER"
SETTINGS = (
    Setting("pool-5", {f"{POOL}_POOL_SIZE": "5"}),
    Setting("pool-15", {f"{POOL}_POOL_SIZE": "15"}),
    Setting("overflow-0", {f"{POOL}_MAX_OVERFLOW": "0"}),
    Setting("statements-1000", {f"{POOL}_CONNECT_ARGS_PREPARED_STATEMENT_CACHE_SIZE": "1000"}),
    Setting("statements-0", {f"{POOL}_CONNECT_ARGS_PREPARED_STATEMENT_CACHE_SIZE": "0"}),
    Setting("httptools", words=("--http", "httptools")),
    Setting("uvloop", words=("--loop", "uvloop")),
    Setting("uvloop-httptools", words=("--loop", "uvloop", "--http", "httptools")),
    Setting("no-access-log", words=("--no-access-log",)),
    Setting("keep-alive-60", words=("--timeout-keep-alive", "60")),
    Setting("optimize", {"PYTHONOPTIMIZE": "1"}),
    Setting("log-critical", {"PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL"}),
    Setting("persister-200", {f"{PERSISTER}_BATCH_SIZE": "200"}),
    Setting("persister-read-100", {f"{PERSISTER}_BATCH_SIZE": "200", f"{PERSISTER}_READ_BATCH_SIZE": "100"}),
    Setting("persister-flush-1", {f"{PERSISTER}_FLUSH_INTERVAL": "1"}),
    Setting("persister-off", off("EVENT_PERSISTER")),
    Setting("triggers-off", off("TRIGGERS")),
    Setting("triggers-read-100", {f"{SERVICES}_TRIGGERS_READ_BATCH_SIZE": "100"}),
    Setting("task-runs-off", off("TASK_RUN_RECORDER")),
    Setting("stream-out-off", {"PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED": "false"}),
    Setting("related-1h", {"PREFECT_SERVER_EVENTS_RELATED_RESOURCE_CACHE_TTL": "3600"}),
    Setting("blocks-off", {"PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false"}),
    Setting("vacuum-off", off("DB_VACUUM")),
    Setting("scheduler-off", off("SCHEDULER")),
    *(Setting(f"{service.lower().replace('_', '-')}-off", off(service)) for service in LOOPS),
    Setting("loops-off", {name: "false" for service in (*LOOPS, "SCHEDULER", "DB_VACUUM") for name in off(service)}),
    Setting("scheduler-300", {f"{SCHEDULER}_LOOP_SECONDS": "300"}),
    Setting("scheduler-recent-30", {f"{SCHEDULER}_RECENT_DEPLOYMENTS_LOOP_SECONDS": "30"}),
    Setting("scheduler-runs-20", {f"{SCHEDULER}_MAX_RUNS": "20"}),
    Setting("scheduler-batch-500", {f"{SCHEDULER}_DEPLOYMENT_BATCH_SIZE": "500"}),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds of CPU for each run, or, when idle, for each second; medians."""

    name: str
    server: float
    postgres: float
    seconds: float
    """That the work took."""
    events: int
    """That Prefect has kept."""

    @property
    def sum(self) -> float:
        return self.server + self.postgres


Work = Callable[[httpx.Client], int]
"""Returns by what its CPU time is to be divided."""


def runs(count: int) -> Work:
    """So many runs, each made, listed, begun and ended, and three lines of its log."""

    def work(http: httpx.Client) -> int:
        deployment = deploy(http, "bench")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = list(pool.map(lambda _: create(http, deployment), range(count)))
            list(pool.map(lambda _: post(http, "/flow_runs/filter", LISTED), range(0, count, PAGE)))
            for state in ("RUNNING", "COMPLETED"):
                list(pool.map(partial(tell, http, state), made))
            pages = [made[start : start + PAGE] for start in range(0, count, PAGE)]
            list(pool.map(lambda page: post(http, "/logs/", [line for run in page for line in lines(run)]), pages))
        done = post(http, "/flow_runs/count", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}})
        if done != count:
            raise RuntimeError(f"{done} of {count} runs are completed.")
        time.sleep(SETTLE_SECONDS)
        return count

    return work


def idle(seconds: int) -> Work:
    def work(_: httpx.Client) -> int:
        time.sleep(seconds)
        return seconds

    return work


LISTED = {
    "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}, "deployment_id": {"is_null_": False}},
    "work_pools": {"name": {"any_": ["default"]}},
    "sort": "NEXT_SCHEDULED_START_TIME_ASC",
    "limit": PAGE,
}


def post(http: httpx.Client, path: str, body: Any) -> Any:
    answer = http.post(path, json=body).raise_for_status()
    return answer.json() if answer.content else None


def deploy(http: httpx.Client, name: str, cron: str | None = None) -> str:
    schedules = [{"schedule": {"cron": cron}, "active": True}] if cron else []
    flow = post(http, "/flows/", {"name": name})["id"]
    body = {"name": name, "flow_id": flow, "work_pool_name": "default", "schedules": schedules}
    return str(post(http, "/deployments/", body)["id"])


def create(http: httpx.Client, deployment: str) -> str:
    body = {"state": {"type": "SCHEDULED"}, "idempotency_key": uuid4().hex}
    return str(post(http, f"/deployments/{deployment}/create_flow_run", body)["id"])


def tell(http: httpx.Client, state: str, run: str) -> None:
    document = {"type": state, "name": state.title(), "message": "told by the bench"}
    post(http, f"/flow_runs/{run}/set_state", {"state": document, "force": True})


def lines(run: str) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    line = {"name": "duetime.task", "level": 20, "timestamp": now, "flow_run_id": run}
    return [{**line, "message": f"line {number}"} for number in range(LINES)]


class Bench:
    """One PostgreSQL server, and a database that Prefect's migrations have made, to be copied."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._postgres = EmbeddedPostgres(home / "postgres", ends_with_us=True)

    def __enter__(self) -> "Bench":
        self._url = self._postgres.start()
        address = {"DUETIME_DATABASE_URL": self._postgres.url("catalogue")}
        self._administer(sql.SQL("CREATE DATABASE catalogue"))
        migrate_everything({**plainly(), **address, "DUETIME_PREFECT_DATABASE_URL": self._postgres.url("migrated")})
        return self

    def __exit__(self, *_: object) -> None:
        self._postgres.stop()

    def measure(self, setting: Setting, work: Work, *, deployments: int) -> Figures:
        with self._database() as url, self._server(setting, url) as (http, pid):
            post(http, "/work_pools/", {"name": "default", "type": "warm"})
            for number in range(deployments):
                deploy(http, f"idle-{number}", cron="* * * * *")
            owners = {"prefect": [pid], cpu.DATABASE: [self._postgres.pid() or 0]}
            began, before = time.monotonic(), cpu.reading(owners)
            units = work(http)
            spent, seconds = cpu.spent(before, cpu.reading(owners)), time.monotonic() - began
            with psycopg.connect(url) as connection:
                row = connection.execute("SELECT count(*) FROM events").fetchone()
        per_unit = {owner: round(1000 * spent[owner] / units, 2) for owner in owners}
        events = row[0] if row else 0
        return Figures(setting.name, per_unit["prefect"], per_unit[cpu.DATABASE], round(seconds, 1), events)

    @contextmanager
    def _database(self) -> Iterator[str]:
        name = f"bench_{uuid4().hex}"
        self._administer(sql.SQL("CREATE DATABASE {} TEMPLATE migrated").format(sql.Identifier(name)))
        try:
            yield self._postgres.url(name)
        finally:
            self._administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administer(self, command: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(command)

    @contextmanager
    def _server(self, setting: Setting, url: str) -> Iterator[tuple[httpx.Client, int]]:
        """As `duetime up` starts it."""
        part = prefect(self._home, free_port(), url)
        command = (*part.command, *PLAIN, *setting.words)
        base = {**part.environment, **setting.variables}["PREFECT_UI_API_URL"]
        with (self._home / "server.log").open("ab") as log:
            server = subprocess.Popen(command, env={**part.environment, **setting.variables}, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=base, timeout=60) as http:
                ready(http, server)
                yield http, server.pid
        finally:
            server.terminate()
            server.wait(20)


def plainly() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DUETIME_"))}


def prefect(home: Path, port: int, url: str) -> Part:
    parser = argparse.ArgumentParser()
    add_up_options(parser, {})
    environ = {**plainly(), "DUETIME_PREFECT_DATABASE_URL": url}
    chosen = settings_of(parser.parse_args(["--data-dir", str(home), "--prefect-port", str(port)]), environ)
    return next(part for part in parts(chosen, url, environ) if part.role is Role.PREFECT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(http: httpx.Client, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            if http.get("/ready").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("The Prefect server does not answer: see server.log.")


def median(tries: Sequence[Figures]) -> Figures:
    def of(figure: Callable[[Figures], float]) -> float:
        return round(statistics.median(map(figure, tries)), 2)

    times = of(lambda one: one.server), of(lambda one: one.postgres), of(lambda one: one.seconds)
    return Figures(tries[0].name, *times, events=int(of(lambda one: one.events)))


def rows(found: Sequence[Figures]) -> list[list[str]]:
    """Each is compared with the mean of the first and the last, which are the baseline."""
    base = (found[0].sum + found[-1].sum) / 2
    head = ["setting", "server ms", "PostgreSQL ms", "sum", "of baseline", "took", "events"]
    return [
        head,
        *(
            [
                each.name,
                f"{each.server:.1f}",
                f"{each.postgres:.1f}",
                f"{each.sum:.1f}",
                f"{each.sum / base:.0%}",
                f"{each.seconds:.0f} s",
                f"{each.events}",
            ]
            for each in found
        ),
    ]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.server_settings", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], choices=[each.name for each in SETTINGS], metavar="NAME")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--times", type=int, default=1, help="rounds, of which the medians are shown")
    parser.add_argument("--idle", type=int, default=0, help="seconds without runs, instead of runs")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(words)
    baseline = Setting(BASELINE)
    line = [baseline, *(each for each in SETTINGS if not chosen.only or each.name in chosen.only), baseline]
    work = idle(chosen.idle) if chosen.idle else runs(chosen.runs)
    tries: list[list[Figures]] = [[] for _ in line]
    with tempfile.TemporaryDirectory(prefix="duetime-settings-") as folder:
        Path(folder).chmod(0o755)  # as root PostgreSQL runs as another user
        with Bench(Path(folder)) as bench:
            for _ in range(chosen.times):
                for setting, own in zip(line, tries, strict=True):
                    own.append(bench.measure(setting, work, deployments=DEPLOYMENTS if chosen.idle else 0))
                    print(asdict(own[-1]), flush=True)
    found = [median(own) for own in tries]
    print(plain(rows(found)))
    if chosen.json:
        document = {"machine": machine(), "results": [asdict(each) for each in found]}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Real workers at a real Prefect server, with a reconciler beside them."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from db import due_times, logs, run_requests, runs, workers
from db.engine import Catalogue
from db.states import FINAL_STATES
from db.tables import DueTime, Run
from reconciler.loop import Reconciler
from tests.conftest import as_worker
from tests.prefect_server import PrefectServer
from tests.reconciler.conftest import World, now
from tests.reconciler.conftest import world as world
from tests.system import DUETIME
from tests.waiting import wait_until


@dataclass
class WorkerProcess:
    """`prefect worker start` as a person types it."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL to this one process alone."""
        self.process.kill()
        self.process.wait(10)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@dataclass
class Workplace:
    """A catalogue and a Prefect server in agreement, and workers that can be started at them."""

    world: World
    server: PrefectServer
    home: Path
    stop_reconciler: Callable[[], None]
    started: list[WorkerProcess] = field(default_factory=list)

    @property
    def catalogue(self) -> Catalogue:
        return self.world.catalogue

    def start_worker(
        self,
        name: str = "w1",
        *,
        options: Sequence[str] = (),
        preexec: Callable[[], object] | None = None,
        **environment: str,
    ) -> WorkerProcess:
        """Returns when the catalogue knows it."""
        log = self.home / f"{name}-{len(self.started)}.log"
        known = {worker.id for worker in self.present()}
        with log.open("wb") as out:
            words = ["worker", "start", "--pool", "default", "--type", "warm", "--name", name]
            process = subprocess.Popen(
                [DUETIME.with_name("prefect"), *words, *options],
                preexec_fn=preexec,
                env=self.server.environment | {"DUETIME_DATABASE_URL": as_worker(self.catalogue.url)} | environment,
                stdout=out,
                stderr=out,
                cwd=self.home,
            )
        worker = WorkerProcess(process, log)
        self.started.append(worker)

        def is_there() -> bool:
            assert process.poll() is None, log.read_text()
            return any(one.id not in known and one.name == name for one in self.present())

        wait_until(is_there, f"worker {name} to be there", seconds=120)
        return worker

    def present(self) -> list[Any]:
        with self.catalogue.transaction() as session:
            return list(workers.present(session, now=now()))

    def run_now(self, task_id: UUID, *, action: dict[str, Any] | None = None) -> Run:
        """Asks for a run, or for a test of an action, and returns it when the reconciler has made it."""
        with self.catalogue.transaction() as session:
            request = run_requests.request_run(session, task_id, action=action, actor="test", now=now())

        def made() -> Run | None:
            with self.catalogue.transaction() as session:
                return run_requests.run_of(session, request)

        return wait_until(made, "the run to be made")  # type: ignore[return-value]

    def runs_of(self, task_id: UUID) -> list[Run]:
        """Newest first."""
        with self.catalogue.transaction() as session:
            return list(runs.list_runs(session, task_id=task_id).items)

    def due_times_of(self, task_id: UUID) -> list[DueTime]:
        with self.catalogue.transaction() as session:
            return list(due_times.list_due_times(session, task_id).items)

    def ended(self, task_id: UUID, *, count: int = 1, seconds: float = 60) -> list[Run]:
        """The task's ended runs, newest first, once there are so many."""

        def look() -> list[Run]:
            found = [run for run in self.runs_of(task_id) if run.state in FINAL_STATES]
            return found if len(found) >= count else []

        return wait_until(look, f"{count} ended runs", seconds=seconds)

    def lines_of(self, run_id: UUID) -> list[str]:
        with self.catalogue.transaction() as session:
            return [line.message for line in logs.list_lines(session, run_id)]

    def in_prefect(self, run_id: UUID) -> Any:
        """The run as Prefect has it."""
        return self.world.call("GET", f"/flow_runs/{run_id}")

    def prefect_says(self, run_id: UUID, name: str) -> Any:
        """The run as Prefect has it, once its state has this name."""

        def look() -> Any:
            found = self.in_prefect(run_id)
            return found if found["state_name"] == name else None

        return wait_until(look, f"Prefect to say {name}")


@pytest.fixture
def workplace(world: World, prefect_server: PrefectServer, tmp_path: Path) -> Iterator[Workplace]:
    """Without a worker at first; a reconciler runs."""
    reconciler = Reconciler(world.catalogue, world.prefect)
    thread = threading.Thread(target=reconciler.run, name="reconciler")
    thread.start()

    def stop_reconciler() -> None:
        reconciler.stop()
        thread.join(30)

    place = Workplace(world, prefect_server, tmp_path, stop_reconciler)
    yield place
    for worker in place.started:
        if worker.process.poll() is None:
            worker.kill()
    stop_reconciler()


def alive(pid: int) -> bool:
    """Whether a process of this id exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

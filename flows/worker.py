"""The work-pool worker type `warm`: Prefect's worker in all that others see, our own in how it executes.

`prefect worker start --pool default` starts one on any machine that has this package and two addresses: Prefect's API
and the catalogue.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from db import journal, loops
from db.engine import database_url_from_environment
from db.proxies import asked_directly
from flows.accelerator_proof import PREFECT_DATABASE_URL
from flows.privacy import keep_to_itself
from flows.station import GRACE_SECONDS, SLOTS, Station

# As soon as this is loaded: the prefect CLI makes its client before it starts the worker.
os.environ.update(asked_directly(os.environ, os.environ.get("PREFECT_API_URL", "")))

GRACE = "DUETIME_STOP_GRACE_SECONDS"
SYNC_SECONDS = 60.0
"""Prefect's own client tries for about that long before it gives up."""


class WarmWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Executes runs in processes that are warm already, at the instant at which they are due."""

    type = "warm"
    job_configuration = BaseJobConfiguration
    _description = "Duetime's worker: executes tasks in warm processes, exactly when they are due."

    async def start(
        self,
        run_once: bool = False,
        with_healthcheck: bool = False,  # noqa: ARG002 - the prefect CLI serves it by itself
        printer: Callable[..., None] = print,
    ) -> None:
        """Works until it is cancelled; with `run_once` until what is due now has ended.

        Raises:
            SystemExit: DUETIME_DATABASE_URL is not set.
        """
        keep_to_itself()
        journal.keep(loggers=["flows", "db"])
        station = Station(
            database_url=_database_url(),
            name=self.name,
            pool=self._work_pool_name,
            queues=sorted(self._work_queues),
            slots=self._limit or SLOTS,
            prefetch_seconds=self._prefetch_seconds,
            grace_seconds=float(os.environ.get(GRACE, GRACE_SECONDS)),
            prefect_database_url=os.environ.get(PREFECT_DATABASE_URL) or None,
            polled=self._note_poll,
        )
        async with self:
            # Prefect's heartbeat: it shows this worker as online and makes the pool if there is none.
            pause, budget = self.heartbeat_interval_seconds, SYNC_SECONDS
            syncing = loops.start(
                "worker.prefect heartbeat", self._sync_and_initialize, pause_seconds=pause, budget_seconds=budget
            )
            try:
                printer(f"Worker {self.name!r} started!")
                with _stopped_by_sigterm():
                    await station.work(once=run_once)
            finally:
                syncing.cancel()
        printer(f"Worker {self.name!r} stopped!")

    def _note_poll(self) -> None:
        """Prefect's health check looks at this."""
        self._last_polled_time = datetime.now(UTC)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> BaseWorkerResult:
        """Prefect's way to have one run executed, which this worker does not use."""
        raise NotImplementedError("A worker of type warm executes the runs of deployments only.")


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Has the first SIGTERM cancel the current task, and the second one end the process.

    The prefect CLI sends SIGINT to its own process instead, which has no effect where SIGINT was ignored from the
    start: below nohup, and for what a script starts in the background.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to another one
        return
    loop, task, before = asyncio.get_running_loop(), asyncio.current_task(), signal.getsignal(signal.SIGTERM)
    assert task is not None

    def stop() -> None:
        loop.add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGKILL)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)


def _database_url() -> str:
    try:
        return database_url_from_environment()
    except RuntimeError as error:
        # Not as an error of the prefect CLI, which would show where in the code it came up.
        raise SystemExit(str(error)) from None

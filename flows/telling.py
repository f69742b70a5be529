"""What Prefect is told of runs: behind the facts, in order for each run, and again when it did not answer."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from db.errors import CatalogueUnavailable
from db.runs import RunKey
from db.states import FINAL_STATES, IN_PREFECT, RunState
from flows.prefect_server import OVER, PrefectAway, PrefectServer
from flows.records import Records

log = logging.getLogger(__name__)

AT_ONCE = 8
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """A state that a run has come to."""

    key: RunKey
    state: RunState
    message: str


class Teller:
    """Tells Prefect of runs. What it could not tell before it ends is told by the reconciler."""

    def __init__(self, prefect: PrefectServer, records: Records, *, stopped_in_prefect: Callable[[UUID], None]) -> None:
        self._prefect, self._records, self._stopped_in_prefect = prefect, records, stopped_in_prefect
        self._untold: dict[UUID, deque[Report]] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)

    def tell(self, key: RunKey, state: RunState, message: str = "") -> None:
        """Returns at once."""
        report = Report(key, state, message)
        if key.id in self._untold:
            self._untold[key.id].append(report)
            return
        self._untold[key.id] = deque([report])
        task = asyncio.create_task(self._tell_all_of(key.id))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def settle(self, timeout_seconds: float) -> None:
        """Returns when everything is told, or when the time is over."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=timeout_seconds)

    async def close(self) -> None:
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _tell_all_of(self, run_id: UUID) -> None:
        untold = self._untold[run_id]
        while untold:
            report = untold.popleft()
            try:
                await self._tell(report)
            except Exception:
                log.exception("Prefect would not take that run %s is %s", run_id, report.state)
        del self._untold[run_id]

    async def _tell(self, report: Report) -> None:
        while True:
            try:
                async with self._turns:
                    wait_seconds = await self._tell_once(report)
            except PrefectAway:
                wait_seconds = AGAIN_SECONDS
            if wait_seconds == 0:
                break
            await asyncio.sleep(wait_seconds)
        try:
            await self._records.mark_reported(report.key, report.state)
        except CatalogueUnavailable:
            log.debug("That run %s is told is not noted: it will be told twice", report.key.id)

    async def _tell_once(self, report: Report) -> float:
        """The seconds after which it has to be told again; 0 when it is told."""
        kind, name = IN_PREFECT[report.state]
        over = report.state in FINAL_STATES
        # An end is a fact. That a run goes on is not forced on a run that somebody has cancelled meanwhile.
        verdict = await self._prefect.set_state(report.key.id, kind=kind, name=name, message=report.message, force=over)
        if not over and verdict.state_type in OVER:
            self._stopped_in_prefect(report.key.id)
            return 0
        return 0 if verdict.accepted else verdict.wait_seconds

"""What Prefect is told of runs: behind the facts, in order for each run, and again when it did not answer."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol
from uuid import UUID

from db import loops
from db.prefect_answers import PrefectRefused
from db.runs import RunKey
from db.states import FINAL_STATES, IN_PREFECT, RunState
from db.texts import fit
from flows.grouping import Grouped
from flows.prefect_server import DELETED_AT_ONCE, OVER, PrefectServer
from flows.records import Records, now

log = logging.getLogger(__name__)

LOOP = "worker.reports"

AT_ONCE = 4
IN_A_BATCH = 500
BREATH_SECONDS = 0.01
"""A run that begins is told when its command has been started; what ends sooner is told in one call instead of two."""
PATIENCE_SECONDS = 0.3
LOOKS_AGAIN_SECONDS = 5.0
"""The same when many runs begin."""
MANY_A_SECOND = 4
GIVE_WAY_SECONDS = 5.0
"""For at most so long nothing is told while runs wait to be started."""
TOLD_LATE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Report:
    """A state that a run has come to."""

    key: RunKey
    state: RunState
    message: str
    at: datetime
    """When it came to it."""


class InBatches(Protocol):
    """A faster way than a call for each report."""

    async def tell(self, reports: Mapping[UUID, Sequence[Report]]) -> set[UUID]:
        """The runs whose reports are all told; the others are to be told one by one."""


class Teller:
    """Tells Prefect of runs. What it could not tell before it ends is told by the reconciler."""

    def __init__(
        self,
        prefect: PrefectServer,
        records: Records,
        *,
        stopped_in_prefect: Callable[[UUID], None],
        starting: Callable[[], bool] = lambda: False,
    ) -> None:
        """`starting` says whether runs wait to be started, which goes first."""
        self._prefect, self._records = prefect, records
        self._stopped_in_prefect, self._starting = stopped_in_prefect, starting
        self._untold: dict[UUID, list[Report]] = {}
        self._unassigned: deque[UUID] = deque()
        self._telling: set[asyncio.Task[None]] = set()
        self._batches: asyncio.Task[None] | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._removals = Grouped("worker.removals", self._remove, at_most=DELETED_AT_ONCE)
        self._lately: deque[float] = deque(maxlen=MANY_A_SECOND)
        self.accelerator: InBatches | None = None

    @property
    def untold(self) -> set[UUID]:
        """The runs of which Prefect does not know everything yet."""
        return set(self._untold)

    def tell(self, key: RunKey, state: RunState, message: str = "", *, at: datetime | None = None) -> None:
        """Returns at once."""
        report = Report(key, state, fit(message), at or now())
        if key.id in self._untold:
            self._untold[key.id].append(report)
            return
        self._lately.append(monotonic())
        self._untold[key.id] = [report]
        if self.accelerator is None:
            self._start(self._tell_all_of(key.id))
            return
        self._unassigned.append(key.id)
        if self._batches is None or self._batches.done():
            self._batches = self._start(self._tell_in_batches(self.accelerator))

    def take_back(self, run_id: UUID) -> None:
        """Has Prefect forget a run that is not to be, as it does itself when a schedule changes. Returns at once.

        As cancelled it would keep the server busy: every twenty seconds it looks after the children of every run that
        was cancelled within a day (services/cancellation_cleanup.py). What it could not be told is offered again.
        """
        self._start(self._take_back(run_id))

    async def settle(self, timeout_seconds: float) -> None:
        """Returns when everything is told, or when the time is over."""
        until = monotonic() + timeout_seconds
        while self._telling and (rest := until - monotonic()) > 0:
            await asyncio.wait(self._telling, timeout=rest)

    async def close(self) -> None:
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _start(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = loops.beside(LOOP, work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return task

    # In batches.

    async def _tell_in_batches(self, accelerator: InBatches) -> None:
        while self._unassigned:
            await asyncio.sleep(BREATH_SECONDS)
            await give_way(self._starting)
            run_ids = [self._unassigned.popleft() for _ in range(min(IN_A_BATCH, len(self._unassigned)))]
            reports = {run_id: tuple(self._untold[run_id]) for run_id in run_ids}
            try:
                told = await accelerator.tell(reports)
            except Exception as error:  # noqa: BLE001 - then all of them are told one by one
                loops.record_of("worker.accelerator").failed(error)
                told = set()
            for run_id in run_ids:
                self._note(run_id, reports[run_id], told=run_id in told)
            await self._mark([reports[run_id][-1] for run_id in run_ids if run_id in told])

    def _note(self, run_id: UUID, reports: Sequence[Report], *, told: bool) -> None:
        if not told:
            self._start(self._tell_all_of(run_id))
            return
        del self._untold[run_id][: len(reports)]
        if self._untold[run_id]:
            self._unassigned.append(run_id)
        else:
            del self._untold[run_id]

    # One by one.

    async def _tell_all_of(self, run_id: UUID) -> None:
        untold = self._untold[run_id]
        while untold:
            if len(untold) == 1 and untold[0].state is RunState.RUNNING:
                await asyncio.sleep(PATIENCE_SECONDS if self._many_lately() else BREATH_SECONDS)
            while wait_seconds := await self._tell_next(untold):
                # No longer than that: the end of the run may be told by then, and it is taken at once.
                await asyncio.sleep(min(wait_seconds, LOOKS_AGAIN_SECONDS))
        del self._untold[run_id]

    def _many_lately(self) -> bool:
        return len(self._lately) == MANY_A_SECOND and monotonic() - self._lately[0] < 1

    async def _tell_next(self, untold: list[Report]) -> float:
        """The seconds after which it has to be told again; 0 when it is told, or when Prefect will never take it."""
        async with self._turns:
            await give_way(self._starting)
            report, skipped = coalesced(untold)
            try:
                wait_seconds = await self._tell_once(with_times(report, skipped, now=now()))
            except PrefectRefused as error:
                log.warning("Prefect does not take that run %s is %s: %s", report.key.id, report.state, error)
                del untold[: len(skipped) + 1]
                return 0
            except Exception as error:  # noqa: BLE001 - away, or what nobody foresaw: nothing is dropped
                return loops.record_of(LOOP).failed(error)
        if wait_seconds == 0:
            del untold[: len(skipped) + 1]
            loops.record_of(LOOP).went_well()
            await self._mark([report])
        return wait_seconds

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

    # What is not to be.

    async def _take_back(self, run_id: UUID) -> None:
        await give_way(self._starting)
        await self._removals(run_id)

    async def _remove(self, run_ids: Sequence[UUID]) -> Sequence[None]:
        """Runs that cannot be removed now are offered again, and removed then."""
        await self._prefect.delete_waiting(run_ids)
        return [None] * len(run_ids)

    # For both.

    async def _mark(self, reports: Sequence[Report]) -> None:
        marks = (self._records.mark_reported(report.key, report.state) for report in reports)
        for failure in await asyncio.gather(*marks, return_exceptions=True):
            if isinstance(failure, Exception):  # that run will be told twice
                loops.record_of("worker.reported").failed(failure)


async def give_way(starting: Callable[[], bool]) -> None:
    """Returns when no runs wait to be started, or when that takes too long."""
    until = monotonic() + GIVE_WAY_SECONDS
    while starting() and monotonic() < until:
        await asyncio.sleep(0.05)


def coalesced(untold: Sequence[Report]) -> tuple[Report, Sequence[Report]]:
    """What to tell next, and which older reports it makes needless: an end says all that came before it. Pure."""
    if untold[-1].state in FINAL_STATES:
        return untold[-1], untold[:-1]
    return untold[0], ()


def with_times(report: Report, skipped: Sequence[Report], *, now: datetime) -> Report:
    """Prefect dates a state when it is told: where that is wrong of an end, its message has the true times. Pure."""
    if report.state not in FINAL_STATES or not (skipped or now - report.at > TOLD_LATE):
        return report
    began = f"Began at {_shown(skipped[0].at)}, ended" if skipped else "Ended"
    return replace(report, message=f"{report.message} {began} at {_shown(report.at)} UTC.".strip())


def _shown(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]

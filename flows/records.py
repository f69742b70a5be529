"""The catalogue as a worker uses it: each call is one transaction, made in a thread beside the event loop."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import TypeVar
from uuid import UUID, uuid4

import psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import chains, claims, finishes, logs, loop_lag, loops, runs, secrets, workers
from db.chains import Cause
from db.claims import Answer, Claimant, NotYet, Offer, Wanted
from db.clock import Clock
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.finishes import Finish, OpenRun
from db.logs import Line
from db.runs import RunKey
from db.sealing import sealer
from db.sqlstates import Meaning
from db.states import RunState
from db.texts import fit
from db.workers import Report
from flows.claim_health import ClaimHealth
from flows.grouping import Grouped
from flows.meanings import meaning_of

THREADS = 8
CLAIMED_AT_ONCE = 50
"""While so many are claimed, those before them are started."""
FINISHED_AT_ONCE = 200
OF_POSTGRESQL = (CatalogueUnavailable, SQLAlchemyError, psycopg.Error)
HELD_AT_MOST = timedelta(seconds=0.1)
"""So long a task may be locked before its run is due."""

T = TypeVar("T")


CLOCK = Clock()
now = CLOCK.now


class Records:
    """What a worker reads and writes; `claimant` is who it is, until it is declared lost.

    Every method raises CatalogueUnavailable while PostgreSQL does not answer.
    """

    def __init__(
        self, url: str, *, name: str, work_pool: str, queues: Sequence[str] = (), slots: int | None = None
    ) -> None:
        self.claimant = Claimant(uuid4(), fit(name))
        self.peers: set[UUID] = set()
        """The workers that do the same as this one, as of the last heartbeat."""
        self.draining = False
        """Whether somebody wants this worker to take nothing new, as of the last heartbeat."""
        self.holds: Callable[[], Sequence[UUID] | None] = lambda: None
        """The runs that are executed here, as the heartbeat tells."""
        self._claim_health = ClaimHealth()
        self.open_runs: Sequence[OpenRun] = ()
        """The runs that the catalogue shows as executed here, as of the last heartbeat."""
        self._work_pool, self._queues, self._slots = work_pool, queues, slots
        self._catalogue = Catalogue(url, pool_size=THREADS, application_name="duetime-worker", same_statements=True)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="catalogue")
        self._claims = Grouped("worker.claims", self._claim_all, at_most=CLAIMED_AT_ONCE)
        self._claims_alone = Grouped("worker.claims", self._claim_all, at_most=1)
        self._finishes = Grouped("worker.ends", self._finish_all, at_most=FINISHED_AT_ONCE)
        self._looks = Grouped("worker.looks", self._look_at_all, at_most=FINISHED_AT_ONCE)
        self._marks = Grouped("worker.reported", self._mark_all, at_most=FINISHED_AT_ONCE)

    async def _do(self, work: Callable[[Session], T]) -> T:
        def transaction() -> T:
            with self._catalogue.transaction() as session:
                return work(session)

        return await asyncio.get_running_loop().run_in_executor(self._threads, transaction)

    async def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._catalogue.close()

    async def register(self) -> None:
        """Makes this worker known, under a new id."""
        claimant = Claimant(uuid4(), self.claimant.name)

        def register_it(session: Session) -> None:
            CLOCK.compare(session)
            workers.register(
                session,
                worker_id=claimant.id,
                instead_of=self.claimant.id,
                name=claimant.name,
                work_pool=self._work_pool,
                queues=self._queues,
                host=socket.gethostname(),
                pid=os.getpid(),
                slots=self._slots,
                version=version("duetime"),
                now=now(),
            )
            session.flush()
            self.peers = workers.peers(session, claimant.id, now=now())
            self.draining = workers.is_draining(session, claimant.id)

        await self._do(register_it)
        # Only now: what is claimed under an id that nobody knows would never be found to be lost.
        self.claimant, self.open_runs = claimant, ()

    async def beat(self) -> bool:
        """False where this worker was declared lost."""
        report = Report(self.holds(), self._claim_health.failing(now=now()), loop_lag.worst_seconds())

        def beat_it(session: Session) -> bool:
            CLOCK.compare(session)
            self.peers = workers.peers(session, self.claimant.id, now=now())
            self.draining = workers.is_draining(session, self.claimant.id)
            self.open_runs = finishes.open_of(session, self.claimant.id)
            return workers.beat(session, self.claimant.id, report=report, now=now())

        return await self._do(beat_it)

    async def stop(self) -> None:
        await self._do(lambda session: workers.stop(session, self.claimant.id, now=now()))

    async def claim(self, offer: Offer, *, held_at: datetime, alone: bool = False) -> Answer:
        """Takes the offered run, never before it is due, or says why not.

        It may be called some milliseconds earlier: the task is locked until then. A run that has spoiled a batch is
        claimed `alone`. Raises what PostgreSQL says against this one run.
        """
        claims = self._claims_alone if alone else self._claims
        return await claims(Wanted(offer, held_at))

    async def _claim_all(self, wanted: Sequence[Wanted]) -> Sequence[Answer]:
        claimant, due_at = self.claimant, max(one.offer.due_at for one in wanted)
        clock = partial(instant_not_before, due_at)
        try:
            answers = await self._do(lambda session: claims.claim_many(session, wanted, claimant, clock=clock))
        except ClockSetBack:
            return [NotYet()] * len(wanted)
        except Exception as error:
            if meaning_of(error) is not Meaning.REFUSED:  # that is about one run
                self._claim_health.failed(error, now=now())
            raise
        self._claim_health.succeeded()
        return [answers[one.offer.run_id] for one in wanted]

    async def secrets(self, names: Collection[str]) -> Mapping[str, str]:
        """The values of these secrets.

        Raises:
            SecretNotFound, SecretsUnavailable.
        """
        return await self._do(lambda session: secrets.opened(session, names, sealer=sealer()))

    async def cause_of(self, run_id: UUID) -> Cause | None:
        """The run that this one follows."""
        return await self._do(lambda session: chains.cause_of(session, run_id))

    async def is_taken(self, run_id: UUID) -> bool:
        """Whether some worker has it, as far as a look without a lock can tell."""
        return await self._looks(run_id)

    async def _look_at_all(self, run_ids: Sequence[UUID]) -> Sequence[bool]:
        taken = await self._do(lambda session: runs.held_by_workers(session, run_ids))
        return [run_id in taken for run_id in run_ids]

    async def startable(self, late: Sequence[Offer]) -> set[UUID]:
        """Which of these runs, whose due times are long past, could be started now."""
        return await self._do(lambda session: claims.startable(session, late, now=now()))

    async def next_attempt(
        self, key: RunKey, worker_id: UUID, *, state: RunState, attempt: int, at: datetime | None = None
    ) -> bool:
        """False where the run is not this worker's any more."""
        return await self._do(
            lambda session: runs.next_attempt(session, key, worker_id=worker_id, state=state, attempt=attempt, at=at)
        )

    async def finish(self, finish: Finish) -> bool:
        """False where the run is not this worker's any more."""
        return await self._finishes(finish)

    async def _finish_all(self, ended: Sequence[Finish]) -> Sequence[bool]:
        return await self._do(lambda session: finishes.finish_many(session, ended, clock=now))

    async def mark_reported(self, key: RunKey, state: RunState) -> None:
        """Prefect knows of this state."""
        await self._marks((key, state))

    async def _mark_all(self, told: Sequence[tuple[RunKey, RunState]]) -> Sequence[None]:
        await self._do(lambda session: runs.mark_all_reported(session, told))
        return [None] * len(told)

    async def append(self, lines: Sequence[Line]) -> None:
        await self._do(lambda session: logs.append(session, lines))

    async def cancel_requested(self) -> Sequence[UUID]:
        """The runs of this worker that somebody wants cancelled."""
        return await self._do(lambda session: runs.cancel_requested_of(session, self.claimant.id))


class ClockSetBack(Exception):
    """What was about to be due is due much later now."""


def instant_not_before(due_at: datetime) -> datetime:
    """The present instant, once it is not before another one. Sleeps until then, finer than an event loop can.

    Raises:
        ClockSetBack: that would be for too long, while others wait for the task.
    """
    while (present := now()) < due_at:
        if due_at - present > HELD_AT_MOST:
            raise ClockSetBack
        time.sleep((due_at - present).total_seconds())
    return present


class Refused(Exception):
    """PostgreSQL will never take these values."""


async def insist(name: str, call: Callable[[], Awaitable[T]]) -> T:
    """What the call answers, once PostgreSQL does: what a worker has to say is not lost while it waits.

    Raises:
        Refused.
    """

    async def once() -> T:
        try:
            return await call()
        except OF_POSTGRESQL as error:
            if meaning_of(error) is Meaning.REFUSED:
                raise Refused(str(error)) from error
            raise

    return await loops.insist(name, once, on=OF_POSTGRESQL)

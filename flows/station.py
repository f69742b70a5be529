"""A station: everything that one worker process does at once, as loops that each do one thing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from db import loop_lag, loops
from db.engine import Catalogue
from db.errors import Unavailable
from db.loop_failures import Reporter
from db.notifications import Listener, Topic
from db.prefect_answers import PrefectUnavailable
from db.workers import HEARTBEAT_SECONDS
from flows import kinds
from flows.accelerator import Accelerator, accelerator_of
from flows.holdings import Holdings, is_late
from flows.logbook import FLUSH_SECONDS, PREFECT_FLUSH_SECONDS, Logbook
from flows.offers import Offers
from flows.prefect_server import Offered, PrefectServer
from flows.records import Records, now
from flows.telling import Teller

log = logging.getLogger(__name__)

SLOTS = 100
GRACE_SECONDS = 8.0
POLL_SECONDS = 1.0
WATCH_SECONDS = 1.0
SETTLE_SECONDS = 3.0
STEP_SECONDS = 60.0
"""No step of a loop takes longer. Lines have no such limit, because what is interrupted could be written twice; each of
their calls is bounded."""
UNSURE = timedelta(seconds=1)
"""What is due within so long may be begun, and told, while it is asked about."""


class Station:
    """Polls, holds, claims, executes and reports, until it is cancelled."""

    def __init__(
        self,
        *,
        database_url: str,
        name: str,
        pool: str,
        queues: Sequence[str],
        slots: int,
        prefetch_seconds: float,
        grace_seconds: float,
        prefect_database_url: str | None = None,
        polled: Callable[[], None] = lambda: None,
    ) -> None:
        """With `prefect_database_url`, Prefect's own, it is told in batches where that can be.

        `polled` is called whenever it has looked for runs, also where Prefect is away.
        """
        self._grace_seconds = grace_seconds
        self._prefect = PrefectServer(pool=pool, queues=queues)
        self._offers = Offers(self._prefect, prefetch=timedelta(seconds=prefetch_seconds))
        self._records = Records(database_url, name=name, work_pool=pool, queues=queues, slots=slots)
        self._logbook = Logbook(self._records, self._prefect)
        self._teller = Teller(
            self._prefect,
            self._records,
            stopped_in_prefect=lambda run_id: self._holdings.cancel([run_id]),
            starting=lambda: self._holdings.starting,
        )
        self._poll_now, self._watch_now, self._beat_now = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._holdings = Holdings(
            records=self._records,
            logbook=self._logbook,
            teller=self._teller,
            slots=slots,
            room_made=self._poll_now.set,
        )
        self._records.holds = lambda: self._holdings.claimed
        self._database_url, self._prefect_database_url = database_url, prefect_database_url
        self._polled = polled
        self._prefect_answers = True

    async def work(self, *, once: bool = False) -> None:
        """Works until it is cancelled; then what waits is handed back and what runs may finish within the grace."""
        await loops.insist("worker.registration", self._records.register)
        await kinds.warm_up()
        accelerator = await accelerator_of(
            self._prefect_database_url, self._prefect, starting=lambda: self._holdings.starting
        )
        self._teller.accelerator = self._offers.accelerator = accelerator
        catalogue = Catalogue(self._database_url, pool_size=1, application_name="duetime-worker-reports")
        reporter = Reporter(catalogue, "worker").start()
        listener = Listener(self._database_url, self._hear_in(asyncio.get_running_loop())).start()
        running, lag = self._start_loops(), loop_lag.watch(asyncio.get_running_loop())
        try:
            await (self._poll_once() if once else self._poll_forever())
        finally:
            await self._wind_down(running, accelerator)
            lag.stop()
            listener.stop()
            reporter.stop()
            catalogue.close()

    def _start_loops(self) -> Sequence["asyncio.Task[None]"]:
        beat_now, watch_now, budget = self._beat_now, self._watch_now, STEP_SECONDS
        return (
            loops.start("worker.lines", self._logbook.flush, pause_seconds=FLUSH_SECONDS),
            loops.start("worker.lines to prefect", self._logbook.post, pause_seconds=PREFECT_FLUSH_SECONDS),
            loops.start(
                "worker.heartbeat", self._beat, pause_seconds=HEARTBEAT_SECONDS, wake=beat_now, budget_seconds=budget
            ),
            loops.start(
                "worker.watch", self._watch, pause_seconds=WATCH_SECONDS, wake=watch_now, budget_seconds=budget
            ),
        )

    async def _wind_down(self, running: Sequence["asyncio.Task[None]"], accelerator: Accelerator | None) -> None:
        await self._holdings.wind_down(self._grace_seconds)
        await self._teller.settle(SETTLE_SECONDS)
        await self._teller.close()
        if accelerator is not None:
            await _quietly(accelerator.close)
        # Before the loops are ended: a batch that is being written is not to be written twice.
        await _quietly(self._logbook.flush)
        for loop in running:
            loop.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for last in (self._logbook.flush, self._logbook.post, self._records.stop, kinds.close, self._prefect.close):
            await _quietly(last)
        await self._records.close()

    # What there is to do.

    async def _poll_once(self) -> None:
        changes = await self._offers.look(waiting=(), known=())
        self._holdings.take([one for one in changes.new if one.offer.due_at <= now()])
        await self._holdings.wait_for_all()

    async def _poll_forever(self) -> None:
        polling = loops.start(
            "worker.poll", self._poll, pause_seconds=POLL_SECONDS, wake=self._poll_now, budget_seconds=STEP_SECONDS
        )
        try:
            await asyncio.Event().wait()
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)

    async def _poll(self) -> None:
        if self._records.draining:
            # Nothing new is taken, and what is not begun yet is left to the others.
            self._holdings.let_go(self._holdings.waiting())
        else:
            await self._take_offers()
        self._polled()

    async def _take_offers(self) -> None:
        try:
            changes = await self._offers.look(
                waiting=self._holdings.waiting(),
                known=self._holdings.known | self._teller.untold,
                sure=self._holdings.waiting(besides_due_within=UNSURE),
            )
        except PrefectUnavailable as error:
            self._note_prefect(answers=False, why=error)
            return
        self._holdings.let_go(changes.gone)
        new = await self._in_turn(changes.new)
        if not self._records.draining:  # it may be by now
            self._holdings.take(new)
        self._note_prefect(answers=True)

    async def _in_turn(self, offered: list[Offered]) -> list[Offered]:
        """What is due now, and as much of what was missed as there is room for, each task's in its order."""
        present = now()
        late = [one.offer for one in offered if is_late(one.offer, now=present)]
        if not late:
            return offered
        try:
            startable = await self._records.startable(late)
        except Exception as error:  # noqa: BLE001 - what is due now does not wait for what is late
            if not isinstance(error, Unavailable):
                loops.record_of("worker.late runs").failed(error)
            startable = set()
        held = self._holdings.held
        new = [offer.run_id for offer in late if offer.run_id in startable and offer.run_id not in held]
        left_out = {offer.run_id for offer in late} - held - set(new[: self._holdings.room_for_late()])
        return [one for one in offered if one.offer.run_id not in left_out]

    def _note_prefect(self, *, answers: bool, why: Exception | None = None) -> None:
        if answers and not self._prefect_answers:
            log.warning("The Prefect server answers again")
        elif self._prefect_answers and not answers:
            log.warning("%s Runs that are held start on time.", why)
        self._prefect_answers = answers

    # Who is there, and what is not wanted any more.

    async def _beat(self) -> None:
        if await self._records.beat():
            if self._records.draining:
                self._holdings.let_go(self._holdings.waiting())
            await self._holdings.end_forgotten()
            return
        log.error("This worker was declared lost: it ends what it runs and starts anew")
        await self._holdings.kill_all()
        await self._records.register()
        self._poll_now.set()

    async def _watch(self) -> None:
        claimed = self._holdings.claimed
        if not claimed:
            return
        try:
            self._holdings.cancel(await self._records.cancel_requested())
        finally:
            self._holdings.cancel(await self._prefect.stopped_among(claimed))

    def _hear_in(self, loop: asyncio.AbstractEventLoop) -> Callable[[frozenset[str]], None]:
        def hear(topics: frozenset[str]) -> None:
            if topics & {Topic.READY, Topic.EVERYTHING}:
                loop.call_soon_threadsafe(self._poll_now.set)
            if topics & {Topic.WORKERS, Topic.EVERYTHING}:
                loop.call_soon_threadsafe(self._beat_now.set)
            if topics & {Topic.CANCEL, Topic.EVERYTHING}:
                loop.call_soon_threadsafe(self._watch_now.set)

        return hear


async def _quietly(last: Callable[[], Awaitable[object]]) -> None:
    """At the end there is nobody left to try again."""
    try:
        await asyncio.wait_for(last(), SETTLE_SECONDS)
    except Exception:
        log.warning("Something was left undone at the end", exc_info=True)

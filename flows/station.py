"""A station: everything that one worker process does at once, as loops that each do one thing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import httpx

from db.errors import CatalogueUnavailable
from db.notifications import Listener, Topic
from db.workers import HEARTBEAT_SECONDS
from flows import kinds
from flows.accelerator import Accelerator, accelerator_of
from flows.holdings import Holdings, is_late
from flows.logbook import Logbook
from flows.offers import Offers
from flows.prefect_server import Offered, PrefectAway, PrefectServer
from flows.records import Records, insist, now
from flows.telling import Teller

log = logging.getLogger(__name__)

SLOTS = 100
GRACE_SECONDS = 8.0
POLL_SECONDS = 1.0
WATCH_SECONDS = 1.0
SETTLE_SECONDS = 3.0
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
    ) -> None:
        """With `prefect_database_url`, Prefect's own, it is told in batches where that can be."""
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
        self._listener_url, self._prefect_database_url = database_url, prefect_database_url
        self._prefect_answers = True

    async def work(self, *, once: bool = False) -> None:
        """Works until it is cancelled; then what waits is handed back and what runs may finish within the grace."""
        await insist(self._records.register)
        await kinds.warm_up()
        accelerator = await accelerator_of(
            self._prefect_database_url, self._prefect, starting=lambda: self._holdings.starting
        )
        self._teller.accelerator = self._offers.accelerator = accelerator
        listener = Listener(self._listener_url, self._hear_in(asyncio.get_running_loop())).start()
        forever = (self._logbook.write_forever, self._logbook.post_forever, self._beat_forever, self._watch_forever)
        loops = [asyncio.create_task(loop()) for loop in forever]
        try:
            await (self._poll_once() if once else self._poll_forever())
        finally:
            await self._wind_down(loops, accelerator)
            listener.stop()

    async def _wind_down(self, loops: Sequence["asyncio.Task[None]"], accelerator: Accelerator | None) -> None:
        await self._holdings.wind_down(self._grace_seconds)
        await self._teller.settle(SETTLE_SECONDS)
        await self._teller.close()
        if accelerator is not None:
            await _quietly(accelerator.close)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        for last in (self._logbook.flush, self._logbook.post, self._records.stop, kinds.close, self._prefect.close):
            await _quietly(last)
        await self._records.close()

    # What there is to do.

    async def _poll_once(self) -> None:
        changes = await self._offers.look(waiting=(), known=())
        self._holdings.take([one for one in changes.new if one.offer.due_at <= now()])
        await self._holdings.wait_for_all()

    async def _poll_forever(self) -> None:
        while True:
            self._poll_now.clear()
            if self._records.draining:
                # Nothing new is taken, and what is not begun yet is left to the others.
                self._holdings.let_go(self._holdings.waiting())
                await _wait_for(self._poll_now, POLL_SECONDS)
                continue
            try:
                changes = await self._offers.look(
                    waiting=self._holdings.waiting(),
                    known=self._holdings.known | self._teller.untold,
                    sure=self._holdings.waiting(besides_due_within=UNSURE),
                )
                self._holdings.let_go(changes.gone)
                self._holdings.take(await self._in_turn(changes.new))
                self._note_prefect(answers=True)
            except (PrefectAway, httpx.HTTPStatusError) as error:
                self._note_prefect(answers=False, why=error)
            await _wait_for(self._poll_now, POLL_SECONDS)

    async def _in_turn(self, offered: list[Offered]) -> list[Offered]:
        """What is due now, and as much of what was missed as there is room for, each task's in its order."""
        present = now()
        late = [one.offer for one in offered if is_late(one.offer, now=present)]
        if not late:
            return offered
        try:
            startable = await self._records.startable(late)
        except CatalogueUnavailable:
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

    async def _beat_forever(self) -> None:
        while True:
            await _wait_for(self._beat_now, HEARTBEAT_SECONDS)
            self._beat_now.clear()
            try:
                alive = await self._records.beat()
            except CatalogueUnavailable as error:
                log.warning("%s This worker finishes what it runs.", error)
                continue
            if not alive:
                log.error("This worker was declared lost: it ends what it runs and starts anew")
                await self._holdings.kill_all()
                await insist(self._records.register)

    async def _watch_forever(self) -> None:
        while True:
            self._watch_now.clear()
            if claimed := self._holdings.claimed:
                try:
                    self._holdings.cancel(await self._records.cancel_requested())
                    self._holdings.cancel(await self._prefect.stopped_among(claimed))
                except (CatalogueUnavailable, PrefectAway, httpx.HTTPStatusError) as error:
                    log.debug("Whether something is to be cancelled is not known: %s", error)
            await _wait_for(self._watch_now, WATCH_SECONDS)

    def _hear_in(self, loop: asyncio.AbstractEventLoop) -> Callable[[frozenset[str]], None]:
        def hear(topics: frozenset[str]) -> None:
            if topics & {Topic.READY, Topic.EVERYTHING}:
                loop.call_soon_threadsafe(self._poll_now.set)
            if topics & {Topic.WORKERS, Topic.EVERYTHING}:
                loop.call_soon_threadsafe(self._beat_now.set)
            if topics & {Topic.CANCEL, Topic.EVERYTHING}:
                loop.call_soon_threadsafe(self._watch_now.set)

        return hear


async def _wait_for(event: asyncio.Event, timeout_seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_seconds)
    except TimeoutError:
        return


async def _quietly(last: Callable[[], Awaitable[object]]) -> None:
    """At the end there is nobody left to try again."""
    try:
        await asyncio.wait_for(last(), SETTLE_SECONDS)
    except Exception:
        log.warning("Something was left undone at the end", exc_info=True)

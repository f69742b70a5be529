"""Holdings: the runs that a worker has in its hands, each from before its time to its end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from db import loops
from db.claims import Answer, Claimed, NotYet, Offer, StandAside, StandDown
from db.errors import CatalogueUnavailable
from db.finishes import Finish
from db.partitions import is_promised
from db.policies import ON_TIME
from db.runs import Ending, RunKey
from db.sqlstates import Meaning, is_missing_partition, original, waited_too_long
from db.states import LEDGER_TRIGGERS, Reason, RunState, Trigger
from flows.ends import ClaimIsVoid
from flows.executions import Execution
from flows.logbook import Logbook
from flows.meanings import meaning_of
from flows.prefect_server import Offered
from flows.records import Records, now
from flows.sharing import TURN, goes_first
from flows.slots import Order, Slots
from flows.telling import Teller

log = logging.getLogger(__name__)

READY_BEFORE = timedelta(milliseconds=5)
"""So long before a run is due its claim is made ready: the task is locked, so that it cannot change any more."""
AGAIN_AFTER_SECONDS = 0.5
AGAIN_AFTER_AT_MOST_SECONDS = 5.0
STARTING_SECONDS = 0.02
END_GIVES_WAY_SECONDS = 0.3
LOOK_SECONDS = 0.02
LATE_AT_ONCE = 20
SET_ASIDE_SECONDS = 60.0
"""How long a run that was not ours to execute is not asked for again, though Prefect still shows it as scheduled."""
FORGOTTEN = "The worker had claimed this run, and did not execute it to its end. Its log tells more."


@dataclass(slots=True)
class Held:
    """A run that waits for its time, or is executed."""

    offer: Offer
    parameters: dict[str, Any]
    order: Order
    held_at: datetime = field(default_factory=now)
    cancel: asyncio.Event = field(default_factory=asyncio.Event)
    claimed: bool = False
    spoils: bool = False
    """Whether a claim of it has failed: it is claimed alone, so that no other run has to wait for it again."""
    execution: Execution | None = None
    task: "asyncio.Task[None] | None" = None


class Holdings:
    """Takes runs, waits for their exact instants, claims them and sees them through."""

    def __init__(
        self, *, records: Records, logbook: Logbook, teller: Teller, slots: int, room_made: Callable[[], None]
    ) -> None:
        self._records, self._logbook, self._teller = records, logbook, teller
        self._slots = Slots(slots)
        self._room_made = room_made
        self._held: dict[UUID, Held] = {}
        self._set_aside: dict[UUID, float] = {}
        self._being_claimed, self._claimed_at = 0, float("-inf")

    @property
    def held(self) -> set[UUID]:
        """The runs that wait or are executed here."""
        return set(self._held)

    @property
    def known(self) -> set[UUID]:
        """Those, and the ones of late that Prefect may still show as scheduled."""
        return self._held.keys() | self._set_aside.keys()

    def waiting(self, *, besides_due_within: timedelta = timedelta(0)) -> set[UUID]:
        """The runs that are not begun, without those whose time comes, or came, within so long."""
        present = now()
        return {
            run_id
            for run_id, held in self._held.items()
            if not held.claimed and abs(held.offer.due_at - present) >= besides_due_within
        }

    @property
    def starting(self) -> bool:
        """Whether runs whose time has come are being claimed, one after the other."""
        return self._being_claimed > 0 or monotonic() - self._claimed_at < STARTING_SECONDS

    @property
    def claimed(self) -> list[UUID]:
        """The runs that are executed here."""
        return [run_id for run_id, held in self._held.items() if held.claimed]

    def room_for_late(self) -> int:
        """How many more runs of due times that are long past may be taken in hand: what is due now goes first."""
        present = now()
        return max(0, LATE_AT_ONCE - sum(is_late(held.offer, now=present) for held in self._held.values()))

    def take(self, offers: Sequence[Offered]) -> None:
        """Holds what is offered."""
        self._forget_set_aside()
        for one in offers:
            run_id = one.offer.run_id
            if run_id not in self._held and run_id not in self._set_aside:
                held = Held(one.offer, one.parameters, (one.priority, one.offer.due_at))
                self._held[run_id] = held
                held.task = loops.beside("worker.run", self._see_through(held))
                # Not by the work itself: what is cancelled before it has begun comes to no end of its own.
                held.task.add_done_callback(lambda _, held=held: self._release(held))  # type: ignore[misc]

    def let_go(self, run_ids: Iterable[UUID]) -> None:
        """These are not scheduled in Prefect any more: what of them is not begun does not begin."""
        for run_id in run_ids:
            held = self._held.get(run_id)
            if held is not None and not held.claimed and held.task is not None:
                held.task.cancel()

    def cancel(self, run_ids: Iterable[UUID]) -> None:
        """Somebody wants these runs cancelled: those that are executed here are ended."""
        for run_id in run_ids:
            if run_id in self._held:
                self._held[run_id].cancel.set()

    async def wind_down(self, grace_seconds: float) -> None:
        """Hands back what waits, lets what runs finish within the grace, and ends the rest."""
        for held in self._held.values():
            waits = not held.claimed or (held.execution is not None and held.execution.waits)
            if waits and held.task is not None:
                held.task.cancel()
        await self.wait_for_all(grace_seconds)
        await self.kill_all()

    async def wait_for_all(self, timeout_seconds: float | None = None) -> None:
        """Returns when nothing is held any more, or when the time is over."""
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=timeout_seconds)

    async def kill_all(self, timeout_seconds: float = 3.0) -> None:
        """Kills everything that is executed here, at once. An end that is being noted is noted as it is."""
        tasks = self._tasks()
        for held in self._held.values():
            is_over = held.execution is not None and held.execution.is_over
            if held.task is not None and not is_over:
                held.task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_seconds)

    def _tasks(self) -> list["asyncio.Task[None]"]:
        return [held.task for held in self._held.values() if held.task is not None]

    def _forget_set_aside(self) -> None:
        present = monotonic()
        self._set_aside = {run_id: until for run_id, until in self._set_aside.items() if until > present}

    async def end_forgotten(self) -> None:
        """Ends the runs that the catalogue shows as executed here, and that are not: something lost them after a claim.

        As of the last heartbeat. A run whose end was noted since then is left as it is.
        """
        for run in self._records.open_runs:
            if run.key.id in self._held:
                continue
            ending = Ending(RunState.CRASHED, now(), error=FORGOTTEN)
            if await self._records.finish(Finish(run.key, run.task_id, self._records.claimant.id, ending)):
                log.error("Run %s was not executed any more, though it had not ended", run.key.id)
                self._teller.tell(run.key, ending.state, FORGOTTEN)

    async def _see_through(self, held: Held) -> None:
        run_id = held.offer.run_id
        try:
            await until(held.offer.due_at, early=READY_BEFORE)
            if not await self._is_left_to_another(held):
                await self._claim_and_execute(held)
        except ClaimIsVoid:
            log.warning("Run %s is not this worker's any more; what it had started is ended", run_id)
        except Exception:
            self._set_aside[run_id] = monotonic() + SET_ASIDE_SECONDS
            raise

    def _release(self, held: Held) -> None:
        del self._held[held.offer.run_id]
        if is_late(held.offer, now=now()):
            self._room_made()

    async def _is_left_to_another(self, held: Held) -> bool:
        """Whether it was another worker's turn, and that one has it."""
        run_id = held.offer.run_id
        if goes_first(self._records.claimant.id, run_id, self._records.peers):
            return False
        await until(held.offer.due_at + TURN)
        try:
            taken = await self._records.is_taken(run_id)
        except CatalogueUnavailable:
            return False
        except Exception as error:  # noqa: BLE001 - the claim will tell
            loops.record_of("worker.looks").failed(error)
            return False
        if taken:
            self._set_aside[run_id] = monotonic() + SET_ASIDE_SECONDS
        return taken

    async def _claim_and_execute(self, held: Held) -> None:
        again_after = AGAIN_AFTER_SECONDS
        while isinstance(answer := await self._claim(held), NotYet):
            await asyncio.sleep(again_after)
            await until(held.offer.due_at, early=READY_BEFORE)  # for a clock that was set back
            again_after = min(again_after * 1.5, AGAIN_AFTER_AT_MOST_SECONDS)
        if held.execution is not None:
            await held.execution.end_at_last()
        elif isinstance(answer, StandDown):
            self._stand_down(held.offer, answer)
        elif isinstance(answer, StandAside):
            self._stand_aside(held.offer, answer)

    def _stand_down(self, offer: Offer, why: StandDown) -> None:
        if offer.trigger in LEDGER_TRIGGERS and why.reason is not Reason.CANCELLED:
            self._teller.take_back(offer.run_id)
        else:
            self._teller.tell(RunKey(offer.run_id, offer.due_at), RunState.CANCELLED, why.message)

    def _stand_aside(self, offer: Offer, why: StandAside) -> None:
        """A due time stays due for as long as its task allows; a run that somebody asked for is cancelled."""
        log.error("Run %s, due at %s, cannot be started. %s", offer.run_id, offer.due_at, why.message)
        if offer.trigger not in LEDGER_TRIGGERS:
            self._teller.tell(RunKey(offer.run_id, offer.due_at), RunState.CANCELLED, f"Not run: {why.message}")

    async def _claim(self, held: Held) -> Answer:
        """Claims the run, and executes it to its end where it is ours."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._slots.one(held.order))
            # From here on it is not let go of: a claim that is under way may succeed.
            held.claimed = True
            self._being_claimed += 1
            try:
                answer = await self._answer(held)
            finally:
                self._being_claimed -= 1
                self._claimed_at = monotonic()
            held.claimed = isinstance(answer, Claimed)
            if not isinstance(answer, NotYet):
                self._set_aside[held.offer.run_id] = monotonic() + SET_ASIDE_SECONDS
            if isinstance(answer, Claimed):
                held.execution = self._execution(answer, held, leave_slot=stack.aclose)
                await held.execution.run_to_end()
        return answer

    async def _answer(self, held: Held) -> Answer:
        """What the catalogue answers a claim, or what its error means for this run."""
        try:
            return await self._records.claim(held.offer, held_at=held.held_at, alone=held.spoils)
        except CatalogueUnavailable as error:
            held.spoils = held.spoils or waited_too_long(error)
            return NotYet()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is about this run alone
            held.spoils = True
            loops.record_of("worker.claims").failed(error)
            return self._meant_by(error, held.offer)

    def _meant_by(self, error: Exception, offer: Offer) -> Answer:
        if is_missing_partition(error):
            if is_promised(offer.due_at, now=now()):
                return NotYet()
            return StandAside(f"There is no table for runs that are due at {offer.due_at:%Y-%m-%d}.")
        if meaning_of(error) is Meaning.REFUSED:
            return StandAside(f"PostgreSQL refuses it: {original(error)}")
        return NotYet()

    def _execution(self, claimed: Claimed, held: Held, *, leave_slot: Callable[[], Awaitable[None]]) -> Execution:
        return Execution(
            claimed,
            held.parameters,
            self._records.claimant,
            records=self._records,
            logbook=self._logbook,
            teller=self._teller,
            slot=lambda: self._slots.one(held.order, unless=held.cancel),
            leave_slot=leave_slot,
            cancel=held.cancel,
            let_others_start=self._let_others_start,
        )

    async def _let_others_start(self) -> None:
        """An end may be noted a moment later, a start may not; unless somebody waits for the slot of what has ended."""
        until = monotonic() + END_GIVES_WAY_SECONDS
        while self.starting and not self._slots.is_wanted and monotonic() < until:
            await asyncio.sleep(LOOK_SECONDS)


def is_late(offer: Offer, *, now: datetime) -> bool:
    """Whether it executes a due time that was missed."""
    return offer.trigger is Trigger.CATCH_UP or (offer.trigger is Trigger.SCHEDULE and now - offer.due_at > ON_TIME)


async def until(instant: datetime, *, early: timedelta = timedelta(0)) -> None:
    """Returns at the instant, or that much earlier, or as soon after it as can be; never before."""
    while (rest := (instant - now() - early).total_seconds()) > 0:
        # In steps, because the clock may be set meanwhile.
        await asyncio.sleep(min(rest, 1.0))

"""An execution: a claimed run, attempt after attempt, to its end."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from db import journal, tracebacks
from db.actions import FlowAction
from db.claims import Claimant, Claimed
from db.errors import SecretNotFound, SecretsUnavailable
from db.specs import AnyTask, InvalidTask
from db.states import WITH_PARAMETERS, Level, RunState, Stream, Trigger
from flows import kinds
from flows.attempts import Attempt, Result, instant_text
from flows.ends import ClaimIsVoid, End
from flows.logbook import Logbook
from flows.masks import NOTHING, Mask
from flows.parameters import as_asked
from flows.records import Records, insist, now
from flows.retries import delay_before
from flows.secrets import DoesNotFit, MaskedOutput, in_place, names_in
from flows.telling import Teller

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIED_AGAIN = frozenset({RunState.FAILED, RunState.TIMED_OUT, RunState.CRASHED})
STOPPED = "The worker was stopped while it ran this, and it did not end in time."
HANDED_ON = "The worker was stopped while this waited for another attempt, which is made by another worker."
BROKE = "The worker could not execute this: {}. Its log tells more."


class Execution:
    """One run in the hands of the worker that claimed it."""

    def __init__(
        self, claimed: Claimed, parameters: Mapping[str, Any], claimant: Claimant, *, records: Records,
        logbook: Logbook, teller: Teller, slot: Callable[[], AbstractAsyncContextManager[bool]], cancel: asyncio.Event,
        leave_slot: Callable[[], Awaitable[None]], let_others_start: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        """`slot` gives another slot, or none once `cancel` is set; `leave_slot` gives back the caller's."""
        self._task, self._parameters = claimed.task, parameters
        self._claimed, self._claimant = claimed, claimant
        self._records, self._teller, self._slot, self._leave_slot = records, teller, slot, leave_slot
        self._cancel, self._let_others_start = cancel, let_others_start
        self.waits = False
        """Whether it is between two attempts."""
        self.is_over = False
        """Whether nothing of it is executed any more, and its end alone is to be noted."""
        # The engine that runs a flow talks to Prefect by itself.
        self._by_engine = isinstance(claimed.task.action, FlowAction)
        self._output = logbook.output_of(claimed.key.id, to_prefect=not self._by_engine)
        self._end = End(claimed, claimant, records=records, logbook=logbook, teller=teller)

    async def run_to_end(self) -> None:
        """Executes the first attempt in the caller's slot, and every other one in a slot of its own.

        When it is cancelled, everything that it started is killed, and the run has crashed. `end_at_last` is to be
        called when the slot is free again.

        Raises:
            ClaimIsVoid: the run is not this worker's any more; what it started is killed.
        """
        with journal.about(run_id=self._claimed.key.id, task_id=self._claimed.task_id, task=self._task.name):
            result = await self._result()
            if result.error and result.state is not RunState.COMPLETED:
                self._output.write(result.error, stream=Stream.SYSTEM, level=Level.ERROR)
            self._end.came(result)
            self.is_over = True
            await self._let_others_start()
            await self._end.note()

    async def end_at_last(self) -> None:
        """Returns when the end of the run is noted, where something unforeseen has kept it from that.

        Raises:
            ClaimIsVoid: the run is not this worker's any more.
        """
        await self._end.note_at_last()

    async def _result(self) -> Result:
        try:
            if self._claimed.trigger in WITH_PARAMETERS:
                self._task = as_asked(self._claimed.task, self._parameters)
            return await self._attempts()
        except InvalidTask as error:
            return Result(RunState.FAILED, error=f"The task cannot have this run's parameters. {error}")
        except asyncio.CancelledError:
            return Result(RunState.CRASHED, error=HANDED_ON if self.waits else STOPPED)
        except ClaimIsVoid:
            raise
        except Exception as error:  # noqa: BLE001 - whatever happens after a claim, the run gets an end
            return self._broke(error)

    def _broke(self, error: Exception, mask: Mask = NOTHING) -> Result:
        said = tracebacks.bounded(error, mask)
        log.error("Run %s broke the worker's own code: %s", self._claimed.key.id, said)
        return Result(RunState.CRASHED, error=BROKE.format(tracebacks.message(error, mask)))

    async def _attempts(self) -> Result:
        if not self._by_engine:
            self._teller.tell(self._claimed.key, RunState.RUNNING, at=self._claimed.started_at)
        number = self._claimed.attempt
        result = await self._attempt(number)
        while self._goes_on_after(result, number):
            number += 1
            await self._leave_slot()  # or as many as there are slots, all between two attempts, would wait for ever
            goes_on = await self._wait_before(number, result)
            async with self._slot() as has_slot:
                self.waits = False
                if not goes_on or not has_slot:
                    return Result(RunState.CANCELLED, error="Cancelled while it waited for another attempt.")
                await self._note(RunState.RUNNING, number)
                result = await self._attempt(number)
        return result

    def _goes_on_after(self, result: Result, number: int) -> bool:
        return is_tried_again(result, number, self._task) and not self._cancel.is_set()

    async def _attempt(self, number: int) -> Result:
        claimed = self._claimed
        try:
            secrets = await self._secrets()
            # In a thread: of a long value, all its forms are made.
            mask = await asyncio.to_thread(Mask.of, secrets) if secrets else NOTHING
            action = self._task.action if self._by_engine else in_place(self._task.action, secrets)
        except (SecretNotFound, SecretsUnavailable, DoesNotFit) as error:
            return Result(RunState.FAILED, error=str(error))
        attempt = Attempt(
            task_id=claimed.task_id,
            task_name=self._task.name,
            run_id=claimed.key.id,
            due_at=claimed.key.due_at,
            number=number,
            action=action,
            timeout_seconds=self._task.timeout_seconds,
            after=await self._after(),
            secrets=secrets,
            mask=mask,
        )
        try:
            result = await kinds.perform(attempt, MaskedOutput(self._output, mask), self._cancel)
        except Exception as error:  # noqa: BLE001 - another attempt may go well
            result = self._broke(error, mask)
        return replace(result, error=mask(str(result.error))) if result.error else result

    async def _after(self) -> Mapping[str, str]:
        """What the process is told of the run that this one follows, if it follows one."""
        if self._claimed.trigger not in (Trigger.CHAIN, Trigger.RERUN):
            return {}
        cause = await self._insist(lambda: self._records.cause_of(self._claimed.key.id))
        if cause is None:
            return {}
        return {
            "DUETIME_AFTER_TASK": cause.task_name,
            "DUETIME_AFTER_RUN_ID": str(cause.run_id),
            "DUETIME_AFTER_DUE_AT": instant_text(cause.due_at),
            "DUETIME_AFTER_STATE": cause.state.value,
        }

    async def _secrets(self) -> Mapping[str, str]:
        """Those that the action names.

        Raises:
            SecretNotFound, SecretsUnavailable.
        """
        names = names_in(self._task.action)
        return await self._insist(lambda: self._records.secrets(names)) if names else {}

    async def _wait_before(self, number: int, result: Result) -> bool:
        """False where the run was cancelled meanwhile."""
        task = self._task
        delay = delay_before(
            number,
            retry_delay_seconds=task.retry_delay_seconds,
            backoff=task.retry_backoff,
            luck=random.random(),  # noqa: S311 - nothing is to be kept secret here
        )
        said = f"{result.error or 'It failed.'} Attempt {number} of {task.retries + 1} follows in {delay:.1f} s."
        self._output.write(said, stream=Stream.SYSTEM, level=Level.WARNING)
        await self._note(RunState.RETRYING, number, said, at=now() + timedelta(seconds=delay))
        self.waits = True
        try:
            await asyncio.wait_for(self._cancel.wait(), delay)
        except TimeoutError:
            return True
        return False

    async def _note(self, state: RunState, number: int, message: str = "", *, at: datetime | None = None) -> None:
        key, worker_id = self._claimed.key, self._claimant.id
        mine = await self._insist(
            lambda: self._records.next_attempt(key, worker_id, state=state, attempt=number, at=at)
        )
        if not mine:
            raise ClaimIsVoid
        if not (self._by_engine and state is RunState.RUNNING):
            self._teller.tell(key, state, message)

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        return await insist("worker.attempts", call)


def is_tried_again(result: Result, number: int, task: AnyTask) -> bool:
    """Whether another attempt follows attempt `number`, by the task's retries. Pure."""
    return result.state in TRIED_AGAIN and number <= task.retries

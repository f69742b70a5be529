"""Flow runs of our kinds without our worker: each attempt in the body of a genuine Prefect flow, wherever that runs."""

import asyncio
import contextlib
import contextvars
import logging
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from prefect import State, get_run_logger
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.runtime import deployment
from prefect.states import Failed
from pydantic import Field

from db.specs import TASK_LABEL
from db.states import IN_PREFECT, Backoff, Level, RunState, Stream
from db.values import Strict
from flows import children, clients
from flows.attempts import Action, Attempt, Perform, Result
from flows.retries import delay_before
from flows.secrets import names_in

T = TypeVar("T")


class Policy(Strict):
    """How often, how long and after which delays an action is attempted."""

    timeout_seconds: Annotated[int, Field(ge=1)] | None
    retries: Annotated[int, Field(ge=0)]
    retry_delay_seconds: Annotated[int, Field(ge=0)]
    retry_backoff: Backoff

    def delay_before(self, number: int) -> float:
        return delay_before(
            number,
            retry_delay_seconds=self.retry_delay_seconds,
            backoff=self.retry_backoff,
            luck=random.random(),  # noqa: S311 - nothing is to be kept secret here
        )


def attempt_in_flow(perform: Perform, action: Action, policy: Policy) -> State | None:
    """Attempts the action until it succeeds or no attempt is left; the state for Prefect, where it is not Completed."""
    if names := names_in(action):
        return Failed(message=f"{', '.join(sorted(names))}: secrets are known to workers of the type warm only.")
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    first = _first_attempt(context.flow_run, action, policy)
    logger = get_run_logger()
    result = _run_to_end(lambda cancel: _attempts(perform, first, policy, _RunLog(logger), cancel))
    if result.state is RunState.COMPLETED:
        return None
    _, name = IN_PREFECT[RunState.TIMED_OUT if result.state is RunState.TIMED_OUT else RunState.FAILED]
    return Failed(name=name, message=result.error)


def _first_attempt(flow_run: FlowRun, action: Action, policy: Policy) -> Attempt:
    label = flow_run.labels.get(TASK_LABEL)
    return Attempt(
        task_id=UUID(str(label)) if label else flow_run.deployment_id or flow_run.flow_id,
        task_name=deployment.name or flow_run.name,
        run_id=flow_run.id,
        due_at=flow_run.expected_start_time or datetime.now(UTC),
        number=1,
        action=action,
        timeout_seconds=policy.timeout_seconds,
    )


async def _attempts(
    perform: Perform, attempt: Attempt, policy: Policy, output: "_RunLog", cancel: asyncio.Event
) -> Result:
    try:
        result = await perform(attempt, output, cancel)
        while result.state not in (RunState.COMPLETED, RunState.CANCELLED) and attempt.number <= policy.retries:
            attempt = replace(attempt, number=attempt.number + 1)
            delay = policy.delay_before(attempt.number)
            said = f"{result.error} Attempt {attempt.number} of {policy.retries + 1} follows in {delay:.1f} s."
            output.write(said, stream=Stream.SYSTEM, level=Level.WARNING)
            await _pause(delay, cancel)
            result = await perform(attempt, output, cancel)
        return result
    finally:
        await children.PLAIN.close()
        await clients.SHARED.close()


async def _pause(seconds: float, cancel: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(cancel.wait(), seconds)


def _run_to_end(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Runs the work in an event loop of its own, beside this thread, which Prefect's signals reach so.

    Whatever interrupts the waiting cancels the work, and is raised when that has ended.
    """
    loop, cancel = asyncio.new_event_loop(), asyncio.Event()

    def run() -> T:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(work(cancel))

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(contextvars.copy_context().run, run)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                loop.call_soon_threadsafe(cancel.set)
            raise


class _RunLog:
    """The run's log in Prefect as an attempt's output."""

    def __init__(self, logger: "logging.LoggerAdapter[Any] | logging.Logger") -> None:
        self._logger = logger

    is_full = False

    def write(self, message: str, *, stream: Stream, level: Level = Level.INFO) -> None:  # noqa: ARG002 - there is one
        self._logger.log(logging.getLevelNamesMapping()[level.name], "%s", message)

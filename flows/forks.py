"""Forks: an attempt in a child of a zygote, from what the child is asked to what it said and how it ended."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from db.states import RunState
from flows import processes
from flows.attempts import Attempt, Output, Result
from flows.children import Child, ZygoteDied
from flows.lines import Allowance
from flows.reports import Report

LOST = "The process that starts Python tasks died, and this one with it. Look into the worker's log for why."

Judge = Callable[[processes.Ending, Mapping[str, Any]], Result]
"""The result, given how the child ended and what it reported."""


class Source(Protocol):
    """Where children come from."""

    async def spawn(self, request: Mapping[str, Any], writing: Sequence[int]) -> Child:
        """See `flows.children.Zygote.spawn`."""


async def perform(
    source: Source,
    request: Mapping[str, Any],
    attempt: Attempt,
    output: Output,
    cancel: asyncio.Event,
    *,
    judge: Judge,
    cancel_signal: signal.Signals | None = None,
) -> Result:
    """Executes the attempt in a child to its end; see `flows.attempts.Perform` and `flows.processes.follow`."""
    allowance = Allowance(output, mask=attempt.mask)
    report = Report(allowance)
    try:
        with processes.pipes_to(*processes.output_sinks(allowance), report) as pipes:
            child = await source.spawn(request, pipes.writing)
            pipes.handed_over()
            ending = await processes.follow(
                child, pipes, timeout_seconds=attempt.timeout_seconds, cancel=cancel, cancel_signal=cancel_signal
            )
    except (OSError, ValueError) as error:
        return Result(RunState.FAILED, error=f"The process could not be started: {processes.reason(error)}.")
    except ZygoteDied:
        return Result(RunState.CRASHED, error=LOST)
    finally:
        allowance.close()
    return judge(ending, report.said)

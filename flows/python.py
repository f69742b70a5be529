"""Python tasks: a function that the worker can import, in a process forked from a warm interpreter."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prefect import State, flow

from db import loops
from db.actions import PythonAction
from db.states import Backoff, RunState, Stream
from flows import environment, forks, processes
from flows.attempts import Attempt, Output, Result
from flows.flow_runs import Policy, attempt_in_flow
from flows.warmed import WARMED


async def perform(attempt: Attempt, output: Output, cancel: asyncio.Event) -> Result:
    """Calls the function; an exception fails the attempt, `sys.exit` sets the exit code.

    The function's module, and every other one that is not installed, is imported by each run; what is installed may
    have been loaded before the run, and before its environment (`DUETIME_*`) was set.
    """
    action = attempt.action
    assert isinstance(action, PythonAction)
    request = {
        "callable": action.callable,
        "package": action.callable.partition(":")[0].partition(".")[0],
        "kwargs": action.kwargs,
        "secrets": dict(attempt.secrets),
        "environment": environment.for_python(attempt),
    }

    def judge(ending: processes.Ending, said: Mapping[str, Any]) -> Result:
        try:
            WARMED.learn(action.callable, said)
        except Exception as error:  # noqa: BLE001 - it was done, whatever the next one starts with
            loops.record_of("worker.warmed").failed(error)
        if "returned" in said:
            output.write(f"Returned {said['returned']}", stream=Stream.SYSTEM)
        result = processes.result_of(ending, attempt, success=lambda code: code == 0)
        return replace(result, error=said["error"]) if result.state is RunState.FAILED and "error" in said else result

    return await forks.perform(WARMED, request, attempt, output, cancel, judge=judge)


@flow(name="python")
def python(
    callable: str,
    kwargs: dict[str, Any] | None = None,
    timeout_seconds: int | None = 3600,
    retries: int = 0,
    retry_delay_seconds: int = 10,
    retry_backoff: Backoff = Backoff.CONSTANT,
) -> State | None:
    """Calls a function in a process of its own, until an attempt succeeds or none is left."""
    action = PythonAction(callable=callable, kwargs=kwargs or {})
    policy = Policy(
        timeout_seconds=timeout_seconds,
        retries=retries,
        retry_delay_seconds=retry_delay_seconds,
        retry_backoff=retry_backoff,
    )
    return attempt_in_flow(perform, action, policy)

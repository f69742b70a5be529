"""Kinds: each action is performed by its own module; here is the one door to all of them."""

import asyncio
import gc

from db.actions import FlowAction, HttpAction, PythonAction, ShellAction
from db.states import RunState
from flows import children, clients, flow, http, python, shell
from flows.attempts import Attempt, Output, Perform, Result
from flows.warmed import WARMED

_PERFORM: dict[type, Perform] = {
    ShellAction: shell.perform,
    HttpAction: http.perform,
    PythonAction: python.perform,
    FlowAction: flow.perform,
}


async def perform(attempt: Attempt, output: Output, cancel: asyncio.Event) -> Result:
    """Executes an attempt of any kind to its end; see `flows.attempts.Perform`."""
    if cancel.is_set():
        return Result(RunState.CANCELLED, error="Cancelled before it started.")
    return await _PERFORM[type(attempt.action)](attempt, output, cancel)


async def warm_up() -> None:
    """Starts what makes attempts start fast; without it the first ones are slower."""
    await children.PLAIN.warm()
    WARMED.open()
    # Everything that was imported stays, and to look for garbage in it would take tenths of a second now and then.
    gc.collect()
    gc.freeze()


async def close() -> None:
    """Ends what `warm_up` and the attempts started."""
    await WARMED.close()
    await children.PLAIN.close()
    await children.PREFECT.close()
    await clients.SHARED.close()

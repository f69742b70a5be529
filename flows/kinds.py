"""Kinds: each action is performed by its own module; here is the one door to all of them."""

import asyncio

from db.actions import PythonAction, ShellAction
from db.states import RunState
from flows import children, python, shell
from flows.attempts import Attempt, Output, Perform, Result

_PERFORM: dict[type, Perform] = {ShellAction: shell.perform, PythonAction: python.perform}


async def perform(attempt: Attempt, output: Output, cancel: asyncio.Event) -> Result:
    """Executes an attempt of any kind to its end; see `flows.attempts.Perform`."""
    if cancel.is_set():
        return Result(RunState.CANCELLED, error="Cancelled before it started.")
    return await _PERFORM[type(attempt.action)](attempt, output, cancel)


async def warm_up() -> None:
    """Starts what makes attempts start fast; without it the first ones are slower."""
    await children.PLAIN.warm()


async def close() -> None:
    """Ends what `warm_up` started."""
    await children.PLAIN.close()

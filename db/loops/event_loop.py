"""Loops and work beside them in an event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from db.loops import records
from db.loops.records import Record, end_process, record_of

T = TypeVar("T")


def start(
    name: str,
    step: Callable[[], Awaitable[object]],
    *,
    pause_seconds: float = 0.0,
    wake: asyncio.Event | None = None,
    budget_seconds: float | None = None,
) -> "asyncio.Task[None]":
    """Makes steps in the running event loop until the task is cancelled.

    A step that takes longer than `budget_seconds` is cancelled, and counts as failed.
    """
    task = asyncio.get_running_loop().create_task(_forever(name, step, pause_seconds, wake, budget_seconds), name=name)
    task.add_done_callback(_must_not_end)
    return task


async def _forever(
    name: str,
    step: Callable[[], Awaitable[object]],
    pause_seconds: float,
    wake: asyncio.Event | None,
    budget_seconds: float | None,
) -> None:
    record, rest = record_of(name), wake or asyncio.Event()
    while True:
        rest.clear()
        pause = await _step(record, step, budget_seconds)
        if _is_being_cancelled():
            raise asyncio.CancelledError  # the step made something else of it
        if pause is None:
            await _first_of(rest, pause_seconds)
        else:
            await asyncio.sleep(pause)


async def _step(record: Record, step: Callable[[], Awaitable[object]], budget_seconds: float | None) -> float | None:
    """The seconds to wait after a failure; None when it went well."""
    try:
        if records.before_step is not None:
            records.before_step(record.name)
        async with asyncio.timeout(budget_seconds):
            await step()
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        return record.failed(error)  # something that it waited for was cancelled, not this loop
    except Exception as error:  # noqa: BLE001 - whatever it is
        return record.failed(error)
    record.went_well()
    return None


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _first_of(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _must_not_end(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        end_process(f"{task.get_name()} ended by {task.exception()!r}.")


_beside: "set[asyncio.Task[Any]]" = set()


def beside(name: str, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T | None]":
    """Does one thing beside what goes on in the running event loop; what it raises is logged and counted."""

    async def guarded() -> T | None:
        try:
            return await work
        except Exception as error:  # noqa: BLE001 - whatever it is
            record_of(name).failed(error)
        return None

    task = asyncio.get_running_loop().create_task(guarded(), name=name)
    _beside.add(task)
    task.add_done_callback(_beside.discard)
    task.add_done_callback(lambda _: work.close())  # for work that was cancelled before it began
    return task


def awaited(name: str, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Begins work that the caller awaits: the caller gets what it raises."""
    return asyncio.get_running_loop().create_task(work, name=name)


async def insist(
    name: str, call: Callable[[], Awaitable[T]], *, on: type[Exception] | tuple[type[Exception], ...] = Exception
) -> T:
    """What the call answers, once it does: it is made again after a growing pause when it raises one of `on`."""
    record = record_of(name)
    while True:
        try:
            answer = await call()
        except on as error:
            await asyncio.sleep(record.failed(error))
        else:
            record.recovered()
            return answer

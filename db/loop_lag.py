"""How long an event loop is kept from its next callback: its lag as a figure, and which callback it was, by name.

`watch` begins it in a process. With `DUETIME_DEBUG_LOOP=1` each callback that uses more than 50 ms of its thread's
processor time is logged; tests use `measured`.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, thread_time
from typing import Any

log = logging.getLogger(__name__)

DEBUG = "DUETIME_DEBUG_LOOP"
LIMIT_SECONDS = 0.05
"""More than this of its thread's processor time no callback may use."""
TICK_SECONDS = 0.1
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Slow:
    """A callback that used too much of its thread's processor time."""

    name: str
    seconds: float


class Lag:
    """How late the callbacks of one loop are."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._worst: deque[tuple[float, float]] = deque()
        self._expected_at = loop.time() + TICK_SECONDS
        self._next = loop.call_at(self._expected_at, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        lag = max(0.0, now - self._expected_at)
        present = monotonic()
        while self._worst and self._worst[-1][1] <= lag:
            self._worst.pop()
        while self._worst and self._worst[0][0] < present - WINDOW_SECONDS:
            self._worst.popleft()
        self._worst.append((present, lag))
        self._expected_at = now + TICK_SECONDS
        self._next = self._loop.call_at(self._expected_at, self._tick)

    def worst_seconds(self) -> float:
        """The longest of the last minute."""
        begin = monotonic() - WINDOW_SECONDS
        # As a copy, because it is asked for in other threads.
        return max((lag for at, lag in tuple(self._worst) if at >= begin), default=0.0)

    def stop(self) -> None:
        self._next.cancel()
        if self in _WATCHED:
            _WATCHED.remove(self)


_WATCHED: list[Lag] = []


def watch(loop: asyncio.AbstractEventLoop) -> Lag:
    """Measures the loop's lag from now on; call it in the loop's own thread, and `stop` there."""
    if os.environ.get(DEBUG) == "1":
        _measure(_report)
    lag = Lag(loop)
    _WATCHED.append(lag)
    return lag


def worst_seconds() -> float:
    """The longest lag of the last minute of any loop of this process that is watched."""
    return max((lag.worst_seconds() for lag in tuple(_WATCHED)), default=0.0)


@contextmanager
def measured(limit_seconds: float = LIMIT_SECONDS) -> Iterator[list[Slow]]:
    """The callbacks of all loops of this process that use more than this within the block."""
    found: list[Slow] = []
    original = asyncio.Handle._run
    _measure(found.append, limit_seconds)
    try:
        yield found
    finally:
        asyncio.Handle._run = original  # type: ignore[method-assign]


def _report(slow: Slow) -> None:
    log.warning("%s kept the event loop busy for %.3f s", slow.name, slow.seconds)


def _measure(tell: Any, limit_seconds: float = LIMIT_SECONDS) -> None:
    run = getattr(asyncio.Handle._run, "unmeasured", asyncio.Handle._run)

    def measured_run(self: asyncio.Handle) -> None:
        begin = thread_time()
        run(self)
        if (seconds := thread_time() - begin) > limit_seconds:
            tell(Slow(_name_of(self), seconds))

    measured_run.unmeasured = run  # type: ignore[attr-defined]
    asyncio.Handle._run = measured_run  # type: ignore[method-assign]


def _name_of(handle: asyncio.Handle) -> str:
    """The coroutine of a task, and where it has come to, or the function."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        coroutine: Any = task.get_coro()
        frame = getattr(coroutine, "cr_frame", None)
        where = f" at line {frame.f_lineno}" if frame is not None else ""
        return f"{getattr(coroutine, '__qualname__', coroutine)}{where} ({task.get_name()})"
    return str(getattr(callback, "__qualname__", callback))

"""Attempts made as the worker makes them, one at a time, with what they write kept."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psutil

from db.states import Level, Stream
from flows import kinds
from flows.attempts import Action, Attempt, Result

TASK_ID = UUID("2a3b1c9e-7d4f-4f0e-9c57-6f2f3d1b8a10")
DUE_AT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    message: str
    stream: Stream
    level: Level
    at: float


@dataclass
class Log:
    """An attempt's output, in the order of its coming."""

    lines: list[Written] = field(default_factory=list)
    is_full: bool = False

    def write(self, message: str, *, stream: Stream, level: Level = Level.INFO) -> None:
        self.lines.append(Written(message, stream, level, monotonic()))

    def of(self, stream: Stream) -> list[str]:
        return [line.message for line in self.lines if line.stream is stream]

    @property
    def stdout(self) -> list[str]:
        return self.of(Stream.STDOUT)

    @property
    def stderr(self) -> list[str]:
        return self.of(Stream.STDERR)

    @property
    def system(self) -> list[str]:
        return self.of(Stream.SYSTEM)

    @property
    def text(self) -> str:
        return "\n".join(line.message for line in self.lines)


@dataclass
class Under:
    """An attempt that is going on."""

    task: "asyncio.Task[Result]"
    log: Log
    cancel: asyncio.Event


def an_attempt(action: Action, **changes: Any) -> Attempt:
    given: dict[str, Any] = {
        "task_id": TASK_ID,
        "task_name": "backup",
        "run_id": uuid4(),
        "due_at": DUE_AT,
        "number": 1,
        "timeout_seconds": 30,
    }
    return Attempt(action=action, **(given | changes))


def attempt(action: Action, **changes: Any) -> tuple[Result, Log]:
    """Performs one attempt to its end."""
    return attempt_and(nothing, action, **changes)


async def nothing(_: Under) -> None:
    """For attempts that nobody disturbs."""


def attempt_and(meanwhile: Callable[[Under], Awaitable[None]], action: Action, **changes: Any) -> tuple[Result, Log]:
    """Performs one attempt, and does something meanwhile."""
    return asyncio.run(_closed_after(begun(meanwhile, action, **changes)))


async def begun(meanwhile: Callable[[Under], Awaitable[None]], action: Action, **changes: Any) -> tuple[Result, Log]:
    """The same in an event loop that others use, too."""
    log, cancel = Log(), asyncio.Event()
    task = asyncio.ensure_future(kinds.perform(an_attempt(action, **changes), log, cancel))
    under = Under(task, log, cancel)
    try:
        await meanwhile(under)
        return await asyncio.wait_for(task, 60), log
    finally:
        task.cancel()


async def _closed_after(work: Awaitable[T]) -> T:
    try:
        return await work
    finally:
        await kinds.close()


async def until(look: Callable[[], T], description: str, *, seconds: float = 60) -> T:
    """What `look` answers once it answers something true, while the event loop goes on."""
    end = monotonic() + seconds
    while not (found := look()):
        assert monotonic() < end, f"not within {seconds} s: {description}"
        await asyncio.sleep(0.02)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process goes on; nobody may have taken notice of its end yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

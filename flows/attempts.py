"""An attempt: one execution of an action, what it is given and what it gives back. Every kind has this shape."""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from db import loops
from db.actions import FlowAction, HttpAction, PythonAction, ShellAction
from db.states import Level, RunState, Stream
from flows.masks import NOTHING, Mask

Action = ShellAction | HttpAction | PythonAction | FlowAction

KILL_AFTER_SECONDS = 10
"""How long a process group may go on after SIGTERM before it gets SIGKILL."""

CANCEL_SIGNAL = signal.SIGUSR1
"""Tells the process of a flow that it is cancelled: it sends SIGTERM to its group by itself then."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is to be executed, and for whom."""

    task_id: UUID
    task_name: str
    run_id: UUID
    due_at: datetime
    number: int
    """Counts from 1."""
    action: Action
    timeout_seconds: float | None
    after: Mapping[str, str] = field(default_factory=dict)
    """What a process is told of the run that this one follows."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Those that the action names. In the parameters of a flow, which Prefect keeps, its process puts them in place."""
    mask: Mask = field(default=NOTHING, repr=False)
    """Hides them in what the attempt says."""

    def environment(self) -> Mapping[str, str]:
        """What a process is told of its task."""
        return {
            "DUETIME_TASK": self.task_name,
            "DUETIME_TASK_ID": str(self.task_id),
            "DUETIME_RUN_ID": str(self.run_id),
            "DUETIME_DUE_AT": instant_text(self.due_at),
            "DUETIME_ATTEMPT": str(self.number),
            **self.after,
        }


def instant_text(at: datetime) -> str:
    """RFC 3339, in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended: completed, failed, timed_out, cancelled or crashed."""

    state: RunState
    exit_code: int | None = None
    error: str | None = None
    """For a person, in one or a few lines."""
    told_prefect: bool = False
    """Whether a Prefect engine ran it, which has told Prefect of the end by itself."""


class Output(Protocol):
    """Where an attempt writes; called from its event loop, never blocks."""

    @property
    def is_full(self) -> bool:
        """Whether whoever writes much should wait a moment: what is written now is kept all the same."""

    def write(self, message: str, *, stream: Stream, level: Level = Level.INFO) -> None:
        """One line, without its line break."""


class Perform(Protocol):
    """What each kind's module offers."""

    async def __call__(self, attempt: Attempt, output: Output, cancel: asyncio.Event) -> Result:
        """Executes the attempt to its end; never raises for what the action does.

        When `cancel` is set: SIGTERM, SIGKILL after `KILL_AFTER_SECONDS`, and `cancelled` as the result. When the
        coroutine itself is cancelled, everything that it started is killed before it ends.
        """


async def until_over(
    work: "asyncio.Future[Any]", *, timeout_seconds: float | None, cancel: asyncio.Event
) -> RunState | None:
    """None when the work is done; `timed_out` or `cancelled` when it is to be ended before."""
    cancelled = loops.awaited("cancel", cancel.wait())
    try:
        await asyncio.wait({work, cancelled}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        cancelled.cancel()
    if work.done():
        return None
    return RunState.CANCELLED if cancel.is_set() else RunState.TIMED_OUT

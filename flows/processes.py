"""Process groups: started, read, waited for, and stopped with everything that they started."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil

from db import loops
from db.states import RunState, Stream
from flows.attempts import KILL_AFTER_SECONDS, Attempt, Result, until_over
from flows.lines import Allowance, Lines

PIPE_GRACE_SECONDS = 1.0
"""How long output is read on after the process has ended, while a background child of it holds the pipe open."""

LOOP = "worker.processes"
UNKNOWN_STATUS = 255 << 8
"""As of a process that exited with code 255."""

_CHUNK = 64 * 1024
_FULL_POLL_SECONDS = 0.1
_GROUP_POLL_SECONDS = 0.02


class Group(Protocol):
    """A started process that leads a process group: its id is the group's."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int:
        """The exit code, or minus the number of the signal that ended it."""


class Sink(Protocol):
    """Takes what is read from a pipe."""

    @property
    def is_full(self) -> bool: ...

    def feed(self, data: bytes) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended, and whether it was made to: `timed_out`, `cancelled` or by itself."""

    code: int
    stopped: RunState | None = None


class Pipes:
    """The reading ends of a process's pipes. Use `writing` for the other ends, until the process has them."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.writing: list[int] = []
        self._sinks = sinks
        self._loop = asyncio.get_running_loop()
        self._reading: set[int] = set()
        self._paused: set[int] = set()
        self._all_read = asyncio.Event()

    def open(self) -> None:
        """Raises OSError when there are no more descriptors."""
        for sink in self._sinks:
            reading, writing = os.pipe()
            self.writing.append(writing)
            self._reading.add(reading)
            os.set_blocking(reading, False)
            self._loop.add_reader(reading, self._read, reading, sink)

    def handed_over(self) -> None:
        """Closes the writing ends, which the process has now: only so is its end seen."""
        while self.writing:
            os.close(self.writing.pop())

    def _read(self, reading: int, sink: Sink) -> None:
        try:
            data = os.read(reading, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            loops.record_of(LOOP).failed(error)
            data = b""
        if not data:
            self._let_go(reading)
            return
        try:
            sink.feed(data)
        except Exception as error:  # noqa: BLE001 - what one piece of output breaks is missing from the log
            loops.record_of(LOOP).failed(error)
        if sink.is_full:
            # Whoever prints has to wait, once the pipe is full as well.
            self._loop.remove_reader(reading)
            self._paused.add(reading)
            self._loop.call_later(_FULL_POLL_SECONDS, self._read_again, reading, sink)

    def _read_again(self, reading: int, sink: Sink) -> None:
        if reading not in self._reading:
            return
        if sink.is_full:
            self._loop.call_later(_FULL_POLL_SECONDS, self._read_again, reading, sink)
            return
        self._paused.discard(reading)
        self._loop.add_reader(reading, self._read, reading, sink)

    def _let_go(self, reading: int) -> None:
        self._reading.discard(reading)
        self._paused.discard(reading)
        self._loop.remove_reader(reading)
        os.close(reading)
        if not self._reading:
            self._all_read.set()

    async def drain(self, timeout_seconds: float) -> None:
        """Reads to the end, or until the time is over; while the sinks are full it does not pass."""
        while self._paused:
            await asyncio.sleep(_FULL_POLL_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_read.wait(), timeout_seconds)

    def close(self) -> None:
        """Lets go of the pipes; every line that was read has been written after this."""
        self.handed_over()
        for reading in tuple(self._reading):
            self._let_go(reading)
        for sink in self._sinks:
            sink.close()


@contextlib.contextmanager
def pipes_to(*sinks: Sink) -> Iterator[Pipes]:
    """Pipes into these sinks, closed at the end whatever happens. Raises OSError."""
    pipes = Pipes(sinks)
    try:
        pipes.open()
        yield pipes
    finally:
        pipes.close()


def output_sinks(allowance: Allowance) -> tuple[Lines, Lines]:
    """For stdout and stderr."""
    return Lines(allowance, Stream.STDOUT), Lines(allowance, Stream.STDERR)


class Process:
    """A process that this one started, watched by its descriptor: no thread waits for it."""

    def __init__(self, pid: int) -> None:
        """Raises OSError when there are no more descriptors."""
        self.pid = pid
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._watched = os.pidfd_open(pid)
        self._loop.add_reader(self._watched, self._reap)

    def _reap(self) -> None:
        self._loop.remove_reader(self._watched)
        os.close(self._watched)
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError as error:
            # Somebody else in this process has waited for it: that it ended is all that is known.
            loops.record_of(LOOP).failed(error)
            status = UNKNOWN_STATUS
        self._ended.set_result(os.waitstatus_to_exitcode(status))

    async def wait(self) -> int:
        """The exit code, or minus the number of the signal that ended it."""
        return await asyncio.shield(self._ended)


def start(
    command: Sequence[str], *, environment: Mapping[str, str], directory: str | None, stdout: int, stderr: int
) -> Process:
    """A process in a session, and so a group, of its own, which nothing can be typed into. Raises OSError."""
    started = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=directory,
        env=environment,
        start_new_session=True,
    )
    try:
        process = Process(started.pid)
    except OSError:
        started.kill()
        started.wait()
        raise
    started.returncode = 0  # it is waited for by us alone
    return process


async def follow(
    group: Group,
    pipes: Pipes,
    *,
    timeout_seconds: float | None,
    cancel: asyncio.Event,
    cancel_signal: signal.Signals | None = None,
) -> Ending:
    """Waits for the end, or makes one when the time is over or `cancel` is set; kills all when itself cancelled.

    `cancel_signal` goes to the process alone, instead of SIGTERM to its group, when that is because of `cancel`.
    """
    ended = loops.awaited("process", group.wait())
    try:
        stopped = await until_over(ended, timeout_seconds=timeout_seconds, cancel=cancel)
        if stopped is not None:
            await _stop(group.pid, ended, cancel_signal if cancel.is_set() else None)
        await pipes.drain(PIPE_GRACE_SECONDS)
        return Ending(await ended, stopped)
    except BaseException:
        send(group.pid, signal.SIGKILL)
        raise
    finally:
        # A child that was killed must be waited for, or it stays as a zombie.
        await asyncio.gather(ended, return_exceptions=True)


async def _stop(pid: int, ended: "asyncio.Future[int]", cancel_signal: signal.Signals | None) -> None:
    """SIGTERM to the group, or the process's own signal to it, and SIGKILL to whoever is left of the group."""
    deadline = time.monotonic() + KILL_AFTER_SECONDS
    if cancel_signal is None:
        send(pid, signal.SIGTERM)
    else:
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(pid, cancel_signal)
    while time.monotonic() < deadline and _is_alive(pid):
        # The group outlives its leader for as long as the leader's children need to finish.
        await asyncio.sleep(_GROUP_POLL_SECONDS)
    send(pid, signal.SIGKILL)
    await asyncio.shield(ended)


def _is_alive(group: int) -> bool:
    """Whether anybody in the group goes on; orphans that have ended may wait long for a container's init."""
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return True
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return False


def send(group: int, number: int) -> None:
    """A signal to the group, if there is still one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def reason(error: Exception) -> str:
    """Why a process could not be started, in few words."""
    return getattr(error, "strerror", None) or str(error)


def result_of(ending: Ending, attempt: Attempt, *, success: Callable[[int], bool]) -> Result:
    """What the end of a process means.

    A process that a signal ended has 128 + its number as exit code, as shells say it.
    """
    code = ending.code if ending.code >= 0 else 128 - ending.code
    if ending.stopped is RunState.TIMED_OUT:
        return Result(RunState.TIMED_OUT, code, f"Timed out after {attempt.timeout_seconds:g} s.")
    if ending.stopped is RunState.CANCELLED:
        return Result(RunState.CANCELLED, code, "Cancelled.")
    if success(code):
        return Result(RunState.COMPLETED, code)
    return Result(RunState.FAILED, code, _error(ending.code))


def _error(code: int) -> str:
    if code >= 0:
        return f"Exited with code {code}."
    with contextlib.suppress(ValueError):
        return f"Ended by {signal.Signals(-code).name}."
    return f"Ended by signal {-code}."

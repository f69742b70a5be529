"""Children: processes forked from a warm zygote, seen from the worker."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from db import loops
from flows import environment
from flows.libraries import REFUSALS
from flows.processes import Process, send
from flows.roster import Roster
from flows.zygote import ANSWER, ask, read_answer

READY_WITHIN_SECONDS = 60.0
ANSWER_WITHIN_SECONDS = 90.0
"""To fork takes some milliseconds; to load libraries ahead takes longer, and the process ends that by itself before."""

T = TypeVar("T")


class ZygoteDied(Exception):
    """The zygote is gone, and with it every child that it had."""


class CannotLoad(Exception):
    """Libraries cannot be loaded ahead; its argument is one of REFUSALS."""


class Outdated(Exception):
    """What the zygote has loaded ahead is not what would be loaded now. There is no child."""


@dataclass(frozen=True, slots=True)
class Child:
    """A forked process, the leader of its process group."""

    pid: int
    _ended: "asyncio.Future[int]"

    async def wait(self) -> int:
        """The exit code, or minus a signal's number. Raises ZygoteDied."""
        return await asyncio.shield(self._ended)


class Zygote:
    """One zygote process and its children. It is started when it is needed, and again when it died.

    It belongs to the event loop that uses it; another loop gets another process.
    """

    def __init__(self, module: str, environ: Callable[[], Mapping[str, str]]) -> None:
        self._module, self._environ = module, environ
        self._roster = Roster()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forget_everything()

    def _forget_everything(self) -> None:
        self._process: Process | None = None
        self._control: socket.socket | None = None
        self._heard = b""
        self._lock = asyncio.Lock()
        self._ready: asyncio.Future[int] | None = None
        self._answer: asyncio.Future[Child] | None = None
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._kept = self._is_loading = False
        self._restart: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The zygote's own process, while it lives."""
        return self._process.pid if self._process is not None and self._control is not None else None

    async def warm(self) -> None:
        """Starts the process unless it is there, and keeps one from now on. Raises ZygoteDied when none comes up."""
        self._belong_here()
        self._kept = True
        async with self._lock:
            await self._start()

    async def load(self, libraries: Sequence[str], traces: Sequence[str]) -> None:
        """Starts the process, which then loads these ahead. Raises CannotLoad, ZygoteDied, OSError.

        Close it after an error.
        """
        self._belong_here()
        async with self._lock:
            await self._start()
            assert self._control is not None
            self._ready = asyncio.get_running_loop().create_future()
            with _written({"names": libraries, "traces": traces}) as file, contextlib.suppress(OSError):
                socket.send_fds(self._control, [ask(b"L", 0)], [file])
            self._is_loading = True
            refusal = await self._answered(self._ready)
            self._is_loading = False
        if refusal:
            raise CannotLoad(REFUSALS[refusal])

    async def spawn(self, request: Mapping[str, Any], writing: Sequence[int], *, anew: bool = True) -> Child:
        """A child that serves the request; it gets stdout, stderr and the report of `writing`.

        A process that is not there is started, unless `anew` is false. Raises OSError when there can be no more
        processes, Outdated and ZygoteDied.
        """
        self._belong_here()
        born = loops.awaited("child", self._spawn_in_turn(request, writing, anew=anew))
        try:
            return await asyncio.shield(born)
        except asyncio.CancelledError:
            # The fork may have happened already: only its end tells whom to kill.
            with contextlib.suppress(OSError, Outdated, ZygoteDied):
                send((await born).pid, signal.SIGKILL)
            raise

    @contextlib.contextmanager
    def guarding(self, pid: int) -> Iterator[None]:
        """Has the process group killed when the worker dies meanwhile, where this zygote was warmed."""
        if self._kept and self._control is None:
            self._restart = loops.beside("worker.zygote", self.warm())
        with self._roster.holding(pid):
            yield

    async def retire(self) -> None:
        """Closes it when the last of its children has ended."""
        while self._control is not None:
            # In its turn: so there is no child that is just being born.
            async with self._lock:
                if not self._ended:
                    break
                children = set(self._ended.values())
            await asyncio.wait(children)
        await self.close()

    async def close(self) -> None:
        """Ends the zygote; children that are left are killed."""
        if self._loop is asyncio.get_running_loop():
            self._lose()
            if self._process is not None:
                if self._is_loading:
                    # It does not listen meanwhile.
                    os.kill(self._process.pid, signal.SIGKILL)
                await self._process.wait()
        self._forget_everything()

    async def _spawn_in_turn(self, request: Mapping[str, Any], writing: Sequence[int], *, anew: bool) -> Child:
        with _written(request) as file:
            descriptors = [file, *writing]
            async with self._lock:
                try:
                    return await self._spawn(descriptors, anew=anew)
                except ZygoteDied:
                    # It died while it was idle, so nothing of this request has happened.
                    return await self._spawn(descriptors, anew=anew)

    async def _spawn(self, descriptors: list[int], *, anew: bool) -> Child:
        if anew:
            await self._start()
        if self._control is None:
            raise ZygoteDied
        self._answer = asyncio.get_running_loop().create_future()
        try:
            socket.send_fds(self._control, [ask(b"S", 0)], descriptors)
        except OSError:
            self._lose()
        return await self._answered(self._answer)

    async def _answered(self, answer: "asyncio.Future[T]") -> T:
        """The zygote's answer. One that gives none, as a stopped process does, is killed. Raises ZygoteDied."""
        try:
            return await asyncio.wait_for(answer, ANSWER_WITHIN_SECONDS)
        except TimeoutError:
            assert self._process is not None
            os.kill(self._process.pid, signal.SIGKILL)
            self._lose()
            raise ZygoteDied from None

    async def _start(self) -> None:
        if self._control is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _started(theirs.fileno(), self._roster.descriptor, self._module, self._environ())
        ours.setblocking(False)
        self._control = ours
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        loop.add_reader(ours.fileno(), self._hear)
        try:
            await asyncio.wait_for(self._ready, READY_WITHIN_SECONDS)
        except TimeoutError:
            self._lose()
            raise ZygoteDied from None

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        self._heard += data
        while len(self._heard) >= ANSWER:
            record, self._heard = self._heard[:ANSWER], self._heard[ANSWER:]
            self._take(*read_answer(record))

    def _take(self, kind: bytes, subject: int, value: int) -> None:
        if kind == b"X":
            _resolve(self._ended.pop(subject, None), value)
        elif kind == b"P":
            # It may have ended already: then the next record says so.
            self._ended[value] = asyncio.get_running_loop().create_future()
            _resolve(self._answer, Child(value, self._ended[value]))
        elif kind == b"E":
            _refuse(self._answer, OSError(value, os.strerror(value)))
        elif kind == b"O":
            _refuse(self._answer, Outdated())
        else:
            _resolve(self._ready, value)

    def _lose(self) -> None:
        """The zygote is gone, or has to go."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
        self._control, self._heard = None, b""
        ended, self._ended = self._ended, {}
        for pid, future in ended.items():
            send(pid, signal.SIGKILL)
            _refuse(future, ZygoteDied())
        _refuse(self._answer, ZygoteDied())
        _refuse(self._ready, ZygoteDied())

    def _belong_here(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._control is not None:
                self._control.close()
            self._forget_everything()
            self._loop = loop


def _started(control: int, roster: int, module: str, environ: Mapping[str, str]) -> Process:
    started = subprocess.Popen(
        [sys.executable, "-P", "-m", "flows.zygote", str(control), str(roster), module],
        stdin=subprocess.DEVNULL,
        pass_fds=[control, roster],
        env=environ,
        start_new_session=True,
    )
    started.returncode = 0  # it is waited for by us alone
    try:
        return Process(started.pid)
    except OSError:
        os.kill(started.pid, signal.SIGKILL)
        os.waitpid(started.pid, 0)
        raise


@contextlib.contextmanager
def _written(request: Mapping[str, Any]) -> Iterator[int]:
    """The request as a file in memory, so that its size does not matter."""
    file = os.memfd_create("request")
    try:
        with open(file, "wb", closefd=False) as writing:
            writing.write(json.dumps(request).encode())
        os.lseek(file, 0, os.SEEK_SET)
        yield file
    finally:
        os.close(file)


def _resolve(future: "asyncio.Future[Any] | None", value: Any) -> None:
    if future is not None and not future.done():
        future.set_result(value)


def _refuse(future: "asyncio.Future[Any] | None", error: Exception) -> None:
    if future is not None and not future.done():
        future.set_exception(error)
        # Nobody may be waiting for it any more.
        future.exception()


PLAIN = Zygote("flows.calls", environment.of_zygote)
"""For Python functions; it also guards the process groups of commands."""

PREFECT = Zygote("flows.engine", environment.of_flow_zygote)
"""For flows. It takes seconds to start."""

"""The zygote: a process that has loaded what children need, forks one for each attempt, and outlives no worker.

`python -P -m flows.zygote <socket> <roster> <module>`: a stream socket to the worker and its roster of process groups,
both as descriptors; the module says in `main(request, report)` what a child does. Here is the standard library only, so
that a fork copies little.

The worker sends records of five bytes: `S` and a number, with four descriptors (request, stdout, stderr, report), asks
for a child; `L`, with one descriptor, to load libraries ahead (see `flows.libraries`). The zygote answers with records
of nine bytes: `R` ready, or why it cannot load them, `P` number and pid, `E` number and errno, `O` that its libraries
are old and there is no child, `X` pid and exit code. When the socket ends, the worker is dead, and everything that it
started, here or by itself, is killed: a process that nobody watches must not go on.
"""

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import IO, Any, NoReturn, TextIO

from flows import roster
from flows.libraries import Libraries, exit_of_c, settle

ASK = 5
ANSWER = 9


def ask(kind: bytes, number: int) -> bytes:
    """A record to the zygote."""
    return kind + number.to_bytes(4, "big")


def answer(kind: bytes, subject: int, value: int) -> bytes:
    """A record from the zygote."""
    return kind + subject.to_bytes(4, "big") + value.to_bytes(4, "big", signed=True)


def read_answer(record: bytes) -> tuple[bytes, int, int]:
    """What `answer` made."""
    return record[:1], int.from_bytes(record[1:5], "big"), int.from_bytes(record[5:], "big", signed=True)


class Zygote:
    """The parent of all children."""

    def __init__(self, control: socket.socket, roster: int, module: Any, libraries: Libraries) -> None:
        self._control, self._roster, self._module, self._libraries = control, roster, module, libraries
        self._children: set[int] = set()
        self._wake_reading, self._wake_writing = os.pipe()

    def serve(self) -> None:
        """Forks until the worker is gone. In a child this is left by what the child does."""
        self._listen_for_dead_children()
        self._tell(answer(b"R", 0, 0))
        # What goes wrong here ends this process: the worker sees that, and starts another one.
        while self._serve_once():
            pass
        self._kill_all()

    def _serve_once(self) -> bool:
        """Waits for something to do, and does it; False where the worker is gone."""
        ears: list[socket.socket | int] = [self._control, self._wake_reading]
        readable, _, _ = select.select(ears, [], [])
        if self._wake_reading in readable:
            os.read(self._wake_reading, 4096)
            self._reap()
        return self._control not in readable or self._hear()

    def _listen_for_dead_children(self) -> None:
        for end in (self._wake_reading, self._wake_writing):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake_writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children.discard(pid)
            self._tell(answer(b"X", pid, os.waitstatus_to_exitcode(status)))

    def _tell(self, record: bytes) -> None:
        # A worker that is gone is noticed by the next read.
        with contextlib.suppress(OSError):
            self._control.sendall(record)

    def _hear(self) -> bool:
        try:
            record, descriptors, _, _ = socket.recv_fds(self._control, ASK, 4)
        except ConnectionResetError:
            # So ends the socket of a worker that died before it had read every answer.
            return False
        if len(record) < ASK:
            return False
        kind, number = record[:1], int.from_bytes(record[1:], "big")
        if kind == b"S":
            self._answer_with_a_child(number, descriptors)
        else:
            self._load(descriptors[0])
        return True

    def _load(self, descriptor: int) -> None:
        refusal = self._libraries.load(**_read(descriptor))
        settle()
        self._tell(answer(b"R", 0, refusal))

    def _answer_with_a_child(self, number: int, descriptors: list[int]) -> None:
        if self._libraries.are_old():
            self._tell(answer(b"O", number, 0))
        else:
            self._fork(number, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def _fork(self, number: int, descriptors: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(answer(b"E", number, error.errno or 0))
        else:
            if pid == 0:
                self._become_a_child(descriptors)
            # Here and in the child: whoever is first, the group exists before anybody signals it.
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            self._children.add(pid)
            self._tell(answer(b"P", number, pid))

    def _become_a_child(self, descriptors: list[int]) -> NoReturn:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._control.close()
        os.close(self._roster)
        os.close(self._wake_reading)
        os.close(self._wake_writing)
        _live(self._module, self._libraries, descriptors)

    def _kill_all(self) -> None:
        for group in self._children | roster.read(self._roster):
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)


def _live(module: Any, libraries: Libraries, descriptors: list[int]) -> NoReturn:
    """The child's whole life."""
    request_end, stdout, stderr, report_end = descriptors
    sys.stdout, sys.stderr = _become_stream(stdout, 1), _become_stream(stderr, 2)
    report: TextIO = os.fdopen(report_end, "w", buffering=1)
    ours = [part for stream in (sys.stdout, sys.stderr, report) for part in _parts(stream)]
    request = _read(request_end)
    libraries.begin(request["environment"])
    time.tzset()
    sys.path.insert(0, os.getcwd())
    code = _code_after(lambda: module.main(request, report))
    if "package" in request:
        # Whatever the function has done to its process, it is over, and how it ended is not changed by this.
        with contextlib.suppress(Exception):
            _tell_of(libraries.used(besides=request["package"]), report)
    _leave(code, ours)


def _code_after(main: Callable[[], int]) -> int:
    """The exit code; whatever is raised here ends this child alone."""
    try:
        return main()
    except SystemExit as leaving:
        return _code_of(leaving)
    except BaseException:  # noqa: BLE001 - it ends, and says why
        with contextlib.suppress(BaseException):
            traceback.print_exc()
        return 1


def _tell_of(used: Any, report: TextIO) -> None:
    if used is not None:
        report.write(json.dumps(used) + "\n")


def _read(descriptor: int) -> Any:
    with open(descriptor, "rb") as file:
        return json.loads(file.read())


def _become_stream(source: int, target: int) -> TextIO:
    """Line by line, so that output is seen, and kept, up to the moment of death."""
    os.dup2(source, target)
    os.close(source)
    return open(target, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _code_of(leaving: SystemExit) -> int:
    """What the interpreter makes of it."""
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    with contextlib.suppress(BaseException):
        sys.stderr.write(f"{leaving.code}\n")
    return 1


def _leave(code: int, ours: Sequence[IO[Any]]) -> NoReturn:
    """Ends the process as the interpreter would, but without taking apart, and so copying, what the zygote has loaded.

    That takes ten times as long as all the rest. It is done where it may be noticed: by an object with a finalizer.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr, *ours):
        with contextlib.suppress(Exception):
            stream.flush()
    if _something_is_left(ours):
        sys.exit(code)
    exit_of_c(code)


def _something_is_left(ours: Sequence[IO[Any]]) -> bool:
    """Whether there is an object, made in this process, that would do something at its end, as an open file does."""
    known = set(map(id, ours))
    return any(
        hasattr(type(one), "__del__") and id(one) not in known and type(one) not in (io.BytesIO, io.StringIO)
        for one in gc.get_objects()
    )


def _parts(stream: TextIO) -> tuple[IO[Any], ...]:
    return stream, stream.buffer, stream.buffer.raw  # type: ignore[attr-defined]


def main() -> NoReturn:
    control = socket.socket(fileno=int(sys.argv[1]))
    groups = int(sys.argv[2])
    for descriptor in (control.fileno(), groups):
        os.set_inheritable(descriptor, False)
    module = importlib.import_module(sys.argv[3])
    libraries = Libraries()
    settle()
    Zygote(control, groups, module, libraries).serve()
    # What the libraries would do at the end of a process is not asked for here.
    os._exit(0)


if __name__ == "__main__":
    main()

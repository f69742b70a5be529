"""The zygote: a process that has loaded what children need, forks one for each attempt, and outlives no worker.

`python -P -m flows.zygote <descriptor> <module>`: the descriptor is a stream socket to the worker, the module says in
`main(request, report)` what a child does. Here is the standard library only, so that a fork copies little.

The worker sends records of five bytes: `S` and a number, with four descriptors (request, stdout, stderr, report), asks
for a child; `W` and a process group asks to kill it when the worker dies, `F` to forget it. The zygote answers with
records of nine bytes: `R` ready, `P` number and pid, `E` number and errno, `X` pid and exit code. When the socket ends,
the worker is dead, and everything that it started is killed: a process that nobody watches must not go on.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, TextIO

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

    def __init__(self, control: socket.socket, module: Any) -> None:
        self._control, self._module = control, module
        self._children: set[int] = set()
        self._watched: set[int] = set()
        self._wake_reading, self._wake_writing = os.pipe()

    def serve(self) -> int:
        """Forks until the worker is gone. In a child this is left by what the child does."""
        self._listen_for_dead_children()
        self._control.sendall(answer(b"R", 0, 0))
        ears: list[socket.socket | int] = [self._control, self._wake_reading]
        while True:
            readable, _, _ = select.select(ears, [], [])
            if self._wake_reading in readable:
                os.read(self._wake_reading, 4096)
                self._reap()
            if self._control in readable and not self._hear():
                self._kill_all()
                return 0

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
        record, descriptors, _, _ = socket.recv_fds(self._control, ASK, 4)
        if len(record) < ASK:
            return False
        kind, number = record[:1], int.from_bytes(record[1:], "big")
        if kind == b"S":
            self._fork(number, descriptors)
        elif kind == b"W":
            self._watched.add(number)
        else:
            self._watched.discard(number)
        return True

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
        for descriptor in descriptors:
            os.close(descriptor)

    def _become_a_child(self, descriptors: list[int]) -> None:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._control.close()
        os.close(self._wake_reading)
        os.close(self._wake_writing)
        sys.exit(_live(self._module, descriptors))

    def _kill_all(self) -> None:
        for group in self._children | self._watched:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)


def _live(module: Any, descriptors: list[int]) -> int:
    """The child's whole life; its exit code."""
    request_end, stdout, stderr, report_end = descriptors
    sys.stdout, sys.stderr = _become_stream(stdout, 1), _become_stream(stderr, 2)
    with os.fdopen(request_end, "rb") as file:
        request = json.loads(file.read())
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.path.insert(0, os.getcwd())
    report: TextIO = os.fdopen(report_end, "w", buffering=1)
    code: int = module.main(request, report)
    return code


def _become_stream(source: int, target: int) -> TextIO:
    """Line by line, so that output is seen, and kept, up to the moment of death."""
    os.dup2(source, target)
    os.close(source)
    return open(target, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def main() -> int:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    module = importlib.import_module(sys.argv[2])
    # What is here now stays for ever: a child that collects garbage would only copy its pages.
    gc.collect()
    gc.freeze()
    return Zygote(control, module).serve()


if __name__ == "__main__":
    sys.exit(main())

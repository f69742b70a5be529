"""Notes when runs begin: `python -m bench.recorder PIPE FILE` reads the pipe and serves HTTP on a free port.

A line of the pipe is `shell <task> <due>`, and is stamped on arrival, or `python <task> <due> <at>`, which its writer
has stamped. A request is stamped when its bytes arrive. The file gets `<kind> <task> <due> <at>`, and the port is
printed. As root it runs before everybody else; where it may not, delays look longer than they are, never shorter.
"""

import asyncio
import os
import sys
import time
from contextlib import suppress
from typing import TextIO

from bench.work import BEFORE_THE_DUE_TIME, Kind

HEADER = BEFORE_THE_DUE_TIME.lower()
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
PIPE_BYTES = 1 << 20


def stamped(line: str, at: float) -> str:
    """The line as it goes to the file. Pure."""
    return line if line.startswith(Kind.PYTHON) else f"{line} {at:.6f}"


def asked(head: str) -> tuple[str, str]:
    """Of a request without a body: its task and its due time, `-` if it names none. Pure."""
    first, *headers = head.split("\r\n")
    named = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
    return first.split(" ")[1].lstrip("/"), named.get(HEADER, "-").rpartition("/")[2]


class Ear:
    """The reading end of the pipe."""

    def __init__(self, pipe: str, out: TextIO) -> None:
        self._reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)  # with a writer of our own it never ends
        self._out = out
        self._rest = b""

    def heard(self) -> None:
        data, at = os.read(self._reader, PIPE_BYTES), time.time()
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._out.writelines(f"{stamped(line.decode(), at)}\n" for line in lines)
        self._out.flush()

    def listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._reader, self.heard)


class Door(asyncio.Protocol):
    """One connection of a client that may ask many times."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        at = time.time()
        *heads, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for head in heads:
            task, due = asked(head.decode("latin-1"))
            self._out.write(f"{Kind.HTTP} {task} {due} {at:.6f}\n")
            self._transport.write(ANSWER)
        self._out.flush()


async def record(pipe: str, out: TextIO) -> None:
    Ear(pipe, out).listen()
    server = await asyncio.get_running_loop().create_server(lambda: Door(out), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    pipe, file = sys.argv[1:]
    with suppress(PermissionError):
        os.nice(-15)
    with open(file, "a") as out:
        asyncio.run(record(pipe, out))


if __name__ == "__main__":
    main()

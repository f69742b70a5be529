"""A TCP proxy between a part and what it speaks to, which passes, swallows, delays or cuts what goes through."""

import socket
import threading
import time
from contextlib import suppress
from enum import StrEnum
from typing import Self

CHUNK = 65536
LOOK_SECONDS = 0.05


class Mode(StrEnum):
    """What becomes of what is sent through, from now on, on connections that exist and on new ones."""

    PASS = "pass"
    SWALLOW = "swallow"
    """Nothing arrives and nobody is told: connections stay open, and new ones are accepted."""
    DELAY = "delay"
    """Each piece waits for `delay_seconds` before it is passed on."""
    REFUSE = "refuse"
    """New connections are closed at once; those that exist go on."""


class Proxy:
    """Listens on a port of 127.0.0.1, or on another address, and passes on to an address, until it is closed."""

    def __init__(
        self, host: str, port: int, *, at: tuple[str, int] = ("127.0.0.1", 0), delay_seconds: float = 0.2
    ) -> None:
        self._target, self.delay_seconds = (host, port), delay_seconds
        self.mode = Mode.PASS
        self._listening = socket.create_server(at, backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._closed = threading.Event()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self) -> None:
        """Resets every connection that exists."""
        for each in tuple(self._open):
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def close(self) -> None:
        self._closed.set()
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="proxied", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        self._hold_while_swallowed()
        if self.mode is Mode.REFUSE or self._closed.is_set():
            self._drop(client)
            return
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            self._drop(client)
            return
        server.settimeout(None)
        self._open.add(server)
        back = threading.Thread(target=self._pass_on, args=(server, client), name="proxied back", daemon=True)
        back.start()
        self._pass_on(client, server)

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self._hold_while_swallowed()
                if self.mode is Mode.DELAY:
                    time.sleep(self.delay_seconds)
                to.sendall(data)
        self._drop(source)
        self._drop(to)

    def _hold_while_swallowed(self) -> None:
        while self.mode is Mode.SWALLOW and not self._closed.is_set():
            time.sleep(LOOK_SECONDS)

    def _drop(self, one: socket.socket) -> None:
        self._open.discard(one)
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def through(proxy: Proxy, url: str) -> str:
    """The address by way of the proxy."""
    before, _, rest = url.rpartition("@")
    host, slash, path = rest.partition("/")
    return f"{before}@127.0.0.1:{proxy.port}{slash}{path}" if host else url

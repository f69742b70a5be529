"""HTTP clients whose requests end when their time is over, however slowly the other side dribbles.

The time-outs of HTTP libraries are for each read and write: whoever sends a byte every few seconds holds a request for
ever. Here each read and write has what is left of the whole (`deadlines.within`), and so has the resolving of names.
"""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from threading import Semaphore
from typing import Any

import httpcore
import httpx

from db import loops
from reconciler.deadlines import remaining

RESOLVING_AT_ONCE = 8
RESOLVE_SECONDS = 10.0
_RESOLVING = Semaphore(RESOLVING_AT_ONCE)

Refusal = Callable[[str], str | None]
"""Why nothing is sent to an address; None where it may be."""


def with_deadlines(client: httpx.Client, *, refusal: Refusal = lambda _address: None) -> httpx.Client:
    """The client, whose requests keep to the deadline of the work that makes them."""
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            # There is no public way to it; a test says so if this is not the way any more.
            pool = transport._pool
            pool._network_backend = _Backend(pool._network_backend, refusal)
    return client


class _Backend(httpcore.NetworkBackend):
    """Connects to the addresses of a name that are not refused: what is looked at is what is used."""

    def __init__(self, backend: httpcore.NetworkBackend, refusal: Refusal) -> None:
        self._backend, self._refusal = backend, refusal

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """To the first of the name's addresses that answers; see httpcore."""
        options = None if socket_options is None else list(socket_options)
        failed: Exception = httpcore.ConnectError(f"No address is known for {host}.")
        for address in addresses(host, port):
            if why := self._refusal(address):
                raise httpcore.ConnectError(why)
            try:
                return _Stream(
                    self._backend.connect_tcp(
                        address, port, _left(timeout, httpcore.ConnectTimeout), local_address, options
                    )
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore.NetworkStream:
        """Nothing here does."""
        raise httpcore.ConnectError(f"Nothing is sent to the socket {path}.")

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(remaining(seconds))


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


def _left(timeout: float | None, over: type[Exception]) -> float:
    left = remaining(RESOLVE_SECONDS if timeout is None else timeout)
    if left <= 0:
        raise over("Its time is over.")
    return left


def addresses(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order in which they are to be tried.

    Raises:
        httpcore.ConnectError, httpcore.ConnectTimeout: there are none, or nobody said so in time.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    left = _left(RESOLVE_SECONDS, httpcore.ConnectTimeout)
    # Nothing ends a resolver that hangs, so there are only so many.
    if not _RESOLVING.acquire(timeout=left):
        raise httpcore.ConnectTimeout("Too many names are being resolved, and nothing answers.")
    answer: SimpleQueue[list[str] | OSError | UnicodeError] = SimpleQueue()
    try:
        loops.thread("reconciler.resolve", lambda: answer.put(_resolved(host, port)))
    except BaseException:
        _RESOLVING.release()
        raise
    try:
        found = answer.get(timeout=left)
    except Empty:
        raise httpcore.ConnectTimeout(f"The name {host} was not resolved in time.") from None
    if isinstance(found, Exception):
        raise httpcore.ConnectError(str(found)) from found
    return found


def _resolved(host: str, port: int) -> list[str] | OSError | UnicodeError:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in found))
    except (OSError, UnicodeError) as error:
        return error
    finally:
        _RESOLVING.release()

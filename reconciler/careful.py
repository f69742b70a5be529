"""An HTTP client that posts to allowed addresses alone. It resolves names itself: what is looked at is what is used."""

import socket
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from db.addresses import Rules

TIMEOUT_SECONDS = 10.0


class _Careful(httpcore.NetworkBackend):
    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

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
        for address in _addresses(host, port):
            if why := Rules.from_environment().refusal(address):
                raise httpcore.ConnectError(why)
            try:
                return self._backend.connect_tcp(address, port, timeout, local_address, options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore.NetworkStream:
        """Nothing here does."""
        raise httpcore.ConnectError(f"Nothing is sent to the socket {path}.")

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class _Transport(httpx.HTTPTransport):
    def __init__(self) -> None:
        super().__init__()
        # There is no public way to it; a test says so if this is not the way any more.
        self._pool._network_backend = _Careful(self._pool._network_backend)


def careful_client() -> httpx.Client:
    """It follows no redirect: what is signed is for whom it was signed."""
    return httpx.Client(transport=_Transport(), timeout=TIMEOUT_SECONDS, follow_redirects=False)

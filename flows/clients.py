"""HTTP clients of the event loop that uses them, made when the first request needs one."""

import asyncio
import socket
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from db.addresses import Rules

_NO_COOKIES = DefaultCookiePolicy(allowed_domains=[])
# Every request has a connection of its own: one that is kept may be closed by the server at the moment of its next use.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)


class NotAllowed(httpcore.ConnectError):
    """The address is one to which nothing may be sent."""


class _Careful(httpcore.AsyncNetworkBackend):
    """Connects to addresses that are allowed: it resolves a name itself, so that what is looked at is what is used."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """To the first of the name's addresses that answers; see httpcore."""
        options = None if socket_options is None else list(socket_options)
        failed: Exception = httpcore.ConnectError(f"No address is known for {host}.")
        for address in await _addresses(host, port):
            if why := Rules.from_environment().refusal(address):
                raise NotAllowed(why)
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Nothing here does."""
        raise NotAllowed(f"Nothing is sent to the socket {path}.")

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


async def _addresses(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class CarefulTransport(httpx.AsyncHTTPTransport):
    """httpx's own, which connects to allowed addresses alone."""

    def __init__(self, *, verify: bool, limits: httpx.Limits) -> None:
        super().__init__(verify=verify, limits=limits)
        # There is no public way to it; a test says so if this is not the way any more.
        self._pool._network_backend = _Careful(self._pool._network_backend)


class Clients:
    """One client that checks certificates and one that does not: making one costs a request's time."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: dict[bool, httpx.AsyncClient] = {}

    def get(self, *, verify_tls: bool) -> httpx.AsyncClient:
        """The client; it knows no time limit and keeps no cookies, so that tasks learn nothing from each other."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._clients = loop, {}
        if verify_tls not in self._clients:
            jar = CookieJar(policy=_NO_COOKIES)
            self._clients[verify_tls] = httpx.AsyncClient(
                transport=CarefulTransport(verify=verify_tls, limits=_LIMITS),
                timeout=httpx.Timeout(None),
                cookies=jar,
            )
        return self._clients[verify_tls]

    async def close(self) -> None:
        """Closes what the running loop has."""
        clients, self._clients = self._clients, {}
        if self._loop is asyncio.get_running_loop():
            for client in clients.values():
                await client.aclose()


SHARED = Clients()

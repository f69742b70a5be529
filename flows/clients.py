"""HTTP clients of the event loop that uses them, made when the first request needs one."""

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

_NO_COOKIES = DefaultCookiePolicy(allowed_domains=[])
# Every request has a connection of its own: one that is kept may be closed by the server at the moment of its next use.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)


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
                verify=verify_tls,
                timeout=httpx.Timeout(None),
                limits=_LIMITS,
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

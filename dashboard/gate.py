"""The gate: lets in nothing that comes from elsewhere by way of a browser, and nobody whom the doorman does not know.

What comes from elsewhere shows by its Host and its Origin: see db.hosts.
"""

import asyncio
import os
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.binding import PASSWORD, PUBLISHED_ON
from dashboard.doorman import Denied, Doorman
from dashboard.headers import NOTHING_ELSE, DefaultHeaders
from dashboard.live import Hub, Subscription
from dashboard.problems import problem
from db import audit, loops
from db.access import Visitor
from db.errors import CatalogueUnavailable
from db.hosts import HEADERS, Hosts, is_loopback, refusal
from db.notifications import Topic

ALLOWED_HOSTS = "DUETIME_ALLOWED_HOSTS"
PUBLIC_URL = "DUETIME_PUBLIC_URL"
"""Where people reach the dashboard, for links in messages and the way back from an identity provider."""

VISITOR = "duetime.visitor"
"""In the scope: who it is."""
SIGN_IN = "/sign-in"
IDENTITY_HEADERS = frozenset({b"remote-user", b"x-forwarded-user", b"x-forwarded-email", b"x-streamlit-user"})
"""Nobody says who they are by a header."""
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/api/healthz", "/api/readyz", SIGN_IN, "/sign-out"})
LONG_PATHS = frozenset({"/api/events"})
"""What answers for as long as somebody listens."""
RETRY_AFTER_SECONDS = 5
RECHECKED = 60.0
"""Seconds after which it is looked again whether a listener may stay, should a hint have been lost."""
POLICY_VIOLATION, GOING_AWAY = 1008, 1001


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Under which names the dashboard is reached, and the password, if there is one."""

    hosts: Hosts
    password: str = field(default="", repr=False)
    public_url: str = ""

    @property
    def is_private(self) -> bool:
        """Whether nobody but this machine reaches it."""
        return is_loopback(self.hosts.host)

    @property
    def cookie_name(self) -> str:
        """Cookies know no ports: two systems on one machine must not overwrite each other's."""
        return f"duetime_{self.hosts.port}"

    @classmethod
    def from_environment(cls, host: str, port: int, environ: Mapping[str, str] = os.environ) -> "GateSettings":
        """The settings that the environment names.

        Raises:
            ValueError: a name is none.
        """
        reached_at = environ.get(PUBLISHED_ON) or host
        public_url = environ.get(PUBLIC_URL, "").rstrip("/")
        names = [*environ.get(ALLOWED_HOSTS, "").split(","), urlsplit(public_url).netloc]
        hosts = Hosts.named(reached_at, port, names, variable=ALLOWED_HOSTS)
        return cls(hosts, environ.get(PASSWORD, ""), public_url)


class Gate:
    """What stands before an application, for its requests and its websockets alike."""

    def __init__(self, app: ASGIApp, settings: GateSettings, doorman: Doorman, hub: Hub) -> None:
        self._app, self._settings, self._doorman, self._hub = app, settings, doorman, hub
        self._guarded = DefaultHeaders(self._guard, HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in IDENTITY_HEADERS]
        await self._guarded({**scope, "headers": headers}, receive, send)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = refusal(scope, self._settings.hosts)
        if why:
            await _turn_away(problem(403, why, kind="foreign-request"), scope, receive, send)
            return
        audit.ADDRESS.set(address_of(scope))
        if scope["path"] in OPEN_PATHS or scope["path"].startswith(f"{SIGN_IN}/"):
            await self._app(scope, receive, send)
            return
        try:
            visitor = await self._admit(scope)
        except CatalogueUnavailable as error:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            away = problem(503, str(error), kind="catalogue-unavailable", headers=headers)
            await _turn_away(away, scope, receive, send)
            return
        if isinstance(visitor, Denied):
            await _turn_away(_ask_who_it_is(visitor, scope), scope, receive, send)
            return
        scope = {**scope, VISITOR: visitor}
        if scope["type"] == "websocket" or scope["path"] in LONG_PATHS:
            with self._hub.subscription([Topic.ACCESS]) as changes:
                leave = _Leave(self, scope, changes, receive, send)
                try:
                    await self._app(scope, leave.receive, leave.send)
                finally:
                    leave.cancel()
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Visitor | Denied:
        headers = Headers(scope=scope)
        brought = headers.get("cookie", ""), headers.get("authorization", "")
        known = self._doorman.recall(*brought)
        if known is not None:
            return known
        return await anyio.to_thread.run_sync(self._doorman.check, *brought, address_of(scope))

    async def still_admits(self, scope: Scope) -> bool:
        """Whether whoever came in may stay."""
        try:
            return not isinstance(await self._admit(scope), Denied)
        except CatalogueUnavailable:
            return True


class _Leave:
    """The connection of somebody who may stay for long: it ends when they may not come in any more."""

    def __init__(self, gate: Gate, scope: Scope, changes: Subscription, receive: Receive, send: Send) -> None:
        self._gate, self._scope, self._changes = gate, scope, changes
        self._receive, self._send = receive, send
        self._is_over = False
        self._message: asyncio.Task[Message | None] | None = None
        self._change: asyncio.Task[object] | None = None

    async def receive(self) -> Message:
        """What the other side sends; that it is gone, where it has to go."""
        self._message = self._message or loops.beside("gate", _awaited(self._receive()))
        try:
            while not self._message.done():
                self._change = self._change or loops.beside("gate", self._changes.changes(within_seconds=RECHECKED))
                await asyncio.wait({self._message, self._change}, return_when=asyncio.FIRST_COMPLETED)
                if self._change.done():
                    self._change = None
                    if not self._message.done() and not await self._gate.still_admits(self._scope):
                        return await self._end()
        except asyncio.CancelledError:
            self.cancel()
            raise
        message, self._message = self._message.result() or _gone(self._scope), None
        if message["type"].endswith(".disconnect"):
            self.cancel()
        return message

    async def send(self, message: Message) -> None:
        """Nothing any more to whoever had to go."""
        if not self._is_over:
            await self._send(message)

    async def _end(self) -> Message:
        self.cancel()
        self._is_over = True
        if self._scope["type"] == "websocket":
            await self._send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
        return {"type": "http.disconnect"}

    def cancel(self) -> None:
        for task in (self._message, self._change):
            if task is not None:
                task.cancel()
        self._message = self._change = None


async def _awaited(message: Awaitable[Message]) -> Message:
    return await message


def _gone(scope: Scope) -> Message:
    """What is received from whoever cannot be heard any more."""
    return {"type": f"{scope['type']}.disconnect", "code": GOING_AWAY}


def address_of(scope: Scope) -> str:
    """From where a request comes."""
    return str(scope["client"][0]) if scope.get("client") else ""


def _ask_who_it_is(denied: Denied, scope: Scope) -> Response:
    if denied.wait_seconds:
        detail = "Too many attempts with a wrong password or key. Wait a minute."
        return problem(429, detail, kind="too-many-attempts", headers={"Retry-After": str(denied.wait_seconds)})
    if scope["type"] == "http" and _is_page(Headers(scope=scope), scope["method"]):
        wanted = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': wanted})}", 303)
    challenge = {"WWW-Authenticate": 'Bearer realm="Duetime"'}
    detail = f"Say who you are: an API key as a bearer token, or the password of an account or of {PASSWORD} by Basic."
    return problem(401, detail, kind="not-signed-in", headers=challenge)


def _is_page(headers: Headers, method: str) -> bool:
    """Whether a person waits for it in a browser."""
    return method == "GET" and "text/html" in headers.get("accept", "")


async def _turn_away(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    answer.headers["Content-Security-Policy"] = NOTHING_ELSE
    await answer(scope, receive, send)

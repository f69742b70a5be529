"""What stands before Prefect's server: nothing comes in from elsewhere by way of a browser, and nobody unknown.

Prefect asks for its auth string. As long as nobody has to sign in here, whoever is on this machine comes in without:
the guard adds the string to what has none. Prefect itself compares what somebody brings.
"""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

from prefect.settings import PREFECT_SERVER_API_AUTH_STRING, temporary_settings
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.hosts import HEADERS, Hosts, is_loopback, refusal

POLICY_VIOLATION, SERVICE_RESTART = 1008, 1012
UI_SETTINGS = "/ui-settings"
"""Where Prefect's pages learn whether they have to ask for the string."""
CURE = (
    "Prefect asks for its auth string: export PREFECT_API_AUTH_STRING=..., or type it where Prefect's page asks for a "
    "password. It is the line in the file prefect-auth of Duetime's data folder, or in a container's /secrets, unless "
    "DUETIME_PREFECT_AUTH sets it."
)

IsOpen = Callable[[], Awaitable[bool]]


def guarded(app: ASGIApp, hosts: Hosts, *, auth_string: str, is_open: IsOpen) -> ASGIApp:
    """The application behind the guard. `is_open`: whether nobody has to say who they are."""
    return Guard(_OwnOrigins(_Introducing(app, auth_string, is_open), hosts), hosts)


class Guard:
    """Refuses what comes by another name or from the page of another origin."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        why = "" if scope["type"] == "lifespan" else refusal(scope, self._hosts)
        if not why:
            await self._app(scope, receive, guarded_send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await _said(403, why)(scope, receive, guarded_send)


class _OwnOrigins(CORSMiddleware):
    """Tells browsers that pages of our own addresses may read the answers, whichever of them a page came by."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        super().__init__(app, allow_methods=["*"], allow_headers=["*"])
        self._hosts = hosts

    def is_allowed_origin(self, origin: str) -> bool:
        return self._hosts.is_ours(origin, host="")


class _Introducing:
    """Adds the auth string to what comes without one from this machine, as long as nobody has to say who they are."""

    def __init__(self, app: ASGIApp, auth_string: str, is_open: IsOpen) -> None:
        self._app, self._auth_string, self._is_open = app, auth_string, is_open
        self._header = b"authorization", b"Basic " + base64.b64encode(auth_string.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not await self._lets_in(scope):
            await self._app(scope, receive, send if scope["type"] == "websocket" else _with_cure(scope, receive, send))
        elif scope["type"] == "websocket":
            socket = _Introduced(receive, send, self._auth_string, self._is_open)
            await self._app(scope, socket.receive, socket.send)
        elif scope["path"].endswith(UI_SETTINGS):
            with temporary_settings(restore_defaults=[PREFECT_SERVER_API_AUTH_STRING]):
                await self._app(scope, receive, send)
        else:
            await self._app({**scope, "headers": [*scope["headers"], self._header]}, receive, send)

    async def _lets_in(self, scope: Scope) -> bool:
        is_from_here = scope.get("client") is not None and is_loopback(scope["client"][0])
        brings_something = any(name == b"authorization" for name, _ in scope["headers"])
        return is_from_here and not brings_something and await self._is_open()


class _Introduced:
    """A websocket, whose first message is to have the string. One that came without ends when it would not come in."""

    def __init__(self, receive: Receive, send: Send, auth_string: str, is_open: IsOpen) -> None:
        self._receive, self._send, self._auth_string, self._is_open = receive, send, auth_string, is_open
        self._is_first, self._is_known, self._is_over = True, False, False

    async def receive(self) -> Message:
        """What the other side sends; that it is gone, where it may not stay."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return message
        if self._is_first:
            self._is_first = False
            message, self._is_known = _introduced(message, self._auth_string)
        if not await self._may_stay():
            return {"type": "websocket.disconnect", "code": SERVICE_RESTART}
        return message

    async def send(self, message: Message) -> None:
        """Nothing any more to whoever may not stay."""
        if message["type"] == "websocket.send":
            await self._may_stay()
        if not self._is_over:
            await self._send(message)

    async def _may_stay(self) -> bool:
        if not self._is_over and not self._is_known and not await self._is_open():
            self._is_over = True
            await self._send({"type": "websocket.close", "code": SERVICE_RESTART})
        return not self._is_over


def _introduced(message: Message, auth_string: str) -> tuple[Message, bool]:
    """The first message with the string in it, and whether it brought one itself. Pure."""
    try:
        said: Any = json.loads(message.get("text") or message.get("bytes") or "")
    except ValueError:
        return message, False
    if not isinstance(said, dict) or said.get("type") != "auth":
        return message, False
    if said.get("token"):
        return message, True
    return {"type": "websocket.receive", "text": json.dumps({**said, "token": auth_string})}, False


def _with_cure(scope: Scope, receive: Receive, send: Send) -> Send:
    """Says what Prefect asks for, instead of its `Unauthorized`."""
    is_told = False

    async def send_with_cure(message: Message) -> None:
        nonlocal is_told
        if message["type"] == "http.response.start" and message["status"] == 401:
            is_told = True
            await _said(401, CURE)(scope, receive, send)
        elif not is_told:
            await send(message)

    return send_with_cure


def _said(status: int, why: str) -> Response:
    """As Prefect's own errors, which its clients show."""
    return JSONResponse({"exception_message": why}, status)

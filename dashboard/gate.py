"""The gate: lets in nothing that comes from elsewhere by way of a browser, and nobody without the password.

A page on the web can make its reader's browser send requests to a scheduler on the reader's own machine. Such a request
shows by its Host, when a name was made to point here, or by its Origin.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.credentials import MIN_PASSWORD, Credentials, Denied
from dashboard.headers import NOTHING_ELSE, DefaultHeaders
from dashboard.problems import problem

PASSWORD = "DUETIME_PASSWORD"  # noqa: S105 - the name of the variable
ALLOWED_HOSTS = "DUETIME_ALLOWED_HOSTS"
PUBLISHED_ON = "DUETIME_PUBLISHED_ON"
"""Where a container's port is published, if not on the address that the process listens on."""

USER_NAME = "duetime.user_name"
"""In the scope: the name that was told with the password."""
IDENTITY_HEADERS = frozenset({b"remote-user", b"x-forwarded-user", b"x-forwarded-email", b"x-streamlit-user"})
"""Nobody says who they are by a header."""
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/api/healthz", "/api/readyz"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
POLICY_VIOLATION = 1008
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - these are what is refused without a password
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)")


class UnsafeBinding(Exception):
    """The address is reachable from elsewhere, and nothing protects it."""


def check_binding(host: str, environ: Mapping[str, str]) -> None:
    """Refuses an address that others reach, unless there is a password.

    Raises:
        UnsafeBinding: there is none, or it is too short.
    """
    reached_at = environ.get(PUBLISHED_ON) or host
    password = environ.get(PASSWORD, "")
    if password and len(password) < MIN_PASSWORD:
        raise UnsafeBinding(f"{PASSWORD} is too short. Set it to at least {MIN_PASSWORD} characters.")
    if not password and not _is_loopback(reached_at):
        raise UnsafeBinding(
            f"Whoever reaches {reached_at or 'every address'} could run any command here. Set {PASSWORD} to at least "
            f"{MIN_PASSWORD} characters, or listen on 127.0.0.1."
        )


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Under which names the dashboard is reached, and the password, if there is one."""

    host: str
    port: int
    allowed: frozenset[tuple[str, int | None]] = frozenset()
    """More names, each with its port; without one for the standard ports and ours."""
    password: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, host: str, port: int, environ: Mapping[str, str] = os.environ) -> "GateSettings":
        """The settings that the environment names.

        Raises:
            ValueError: a name is none.
        """
        reached_at = environ.get(PUBLISHED_ON) or host
        names = environ.get(ALLOWED_HOSTS, "").split(",")
        return cls(reached_at, port, allowed_hosts(names), environ.get(PASSWORD, ""))

    def admits(self, authority: str, *, default_port: int) -> bool:
        """Whether `name:port`, as in a Host or an Origin, is one of ours."""
        found = _AUTHORITY.fullmatch(authority.lower())
        if found is None:
            return False
        name, port = found[1], int(found[2] or default_port)
        if (name, port) in self.allowed or (port == self.port and self._is_own(name)):
            return True
        return (name, None) in self.allowed and port in (80, 443, self.port)

    def _is_own(self, name: str) -> bool:
        if name in _LOOPBACK or name.strip("[]") == self.host.lower():
            return True
        # No name can be made to point here when it is an address itself.
        return self.host in _EVERY_ADDRESS and _is_address(name.strip("[]"))


def allowed_hosts(names: Iterable[str]) -> frozenset[tuple[str, int | None]]:
    """The names and ports in `["duetime.example.org", "10.0.0.7:8080"]`.

    Raises:
        ValueError: one is none.
    """
    found = set()
    for name in filter(None, (name.strip() for name in names)):
        match = _AUTHORITY.fullmatch(name.lower())
        if match is None:
            raise ValueError(f"{ALLOWED_HOSTS} has {name!r}. Write names such as duetime.example.org or 10.0.0.7:8080.")
        found.add((match[1], int(match[2]) if match[2] else None))
    return frozenset(found)


def refusal(scope: Scope, settings: GateSettings) -> str:
    """Why a request is not let in, to be told; nothing where it is. Pure."""
    headers = Headers(scope=scope)
    hosts, origin = headers.getlist("host"), headers.get("origin")
    if len(hosts) != 1 or not settings.admits(hosts[0], default_port=settings.port):
        return f"The host {' and '.join(hosts)!r} is not known here. Name it in {ALLOWED_HOSTS} if it is ours."
    if origin is not None and not _is_ours(origin, settings):
        return f"Requests from pages of {origin} are refused. Name their host in {ALLOWED_HOSTS} if it is ours."
    if scope["type"] == "websocket":
        return "A browser says from where it opens a websocket." if origin is None and _is_browser(headers) else ""
    site = headers.get("sec-fetch-site", "none")
    if scope["method"] not in SAFE_METHODS and site not in ("same-origin", "none"):
        return "Requests from pages of other sites are refused."
    return ""


class Gate:
    """What stands before an application, for its requests and its websockets alike."""

    def __init__(self, app: ASGIApp, settings: GateSettings) -> None:
        self._app, self._settings = app, settings
        self._credentials = Credentials(settings.password, settings.port) if settings.password else None
        self._guarded = DefaultHeaders(self._guard, HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in IDENTITY_HEADERS]
        await self._guarded({**scope, "headers": headers}, receive, send)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = refusal(scope, self._settings)
        if why:
            await _turn_away(problem(403, why, kind="foreign-request"), scope, receive, send)
            return
        if self._credentials is None or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        client = scope["client"][0] if scope.get("client") else ""
        visitor = self._credentials.check(Headers(scope=scope), client)
        if isinstance(visitor, Denied):
            await _turn_away(_ask_for_password(visitor), scope, receive, send)
            return
        await self._app({**scope, USER_NAME: visitor.name}, receive, _with_cookie(send, visitor.cookie))


def _ask_for_password(denied: Denied) -> Response:
    if denied.wait_seconds:
        detail = "Too many attempts with a wrong password. Wait a minute."
        return problem(429, detail, kind="too-many-attempts", headers={"Retry-After": str(denied.wait_seconds)})
    challenge = {"WWW-Authenticate": 'Basic realm="Duetime", charset="UTF-8"'}
    return problem(401, f"Send the password of {PASSWORD}, with any user name.", kind="no-password", headers=challenge)


def _with_cookie(send: Send, cookie: str | None) -> Send:
    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start" and cookie is not None:
            MutableHeaders(scope=message).append("Set-Cookie", cookie)
        await send(message)

    return send_with_cookie


async def _turn_away(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    answer.headers["Content-Security-Policy"] = NOTHING_ELSE
    await answer(scope, receive, send)


def _is_ours(origin: str, settings: GateSettings) -> bool:
    found = _ORIGIN.fullmatch(origin.lower())
    return found is not None and settings.admits(found[2], default_port=_PORTS[found[1]])


def _is_browser(headers: Headers) -> bool:
    return "sec-fetch-site" in headers or headers.get("user-agent", "").startswith("Mozilla/")


def _is_loopback(host: str) -> bool:
    return host.lower() == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

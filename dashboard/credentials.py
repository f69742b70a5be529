"""Who may come in where a password is set: HTTP Basic, a bearer token, or the session that follows them.

Browsers do not send Basic credentials when they open a websocket, so a Basic login is answered with a signed cookie,
which is as good until it expires or this process ends.
"""

import base64
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

MIN_PASSWORD = 12
MAX_NAME = 100
SESSION_SECONDS = 12 * 3600
FAILURES_AT_MOST = 10
FAILURES_SECONDS = 60
ADDRESSES_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Admitted:
    """Let in, under the name that was told, if any was; `cookie` is to be set."""

    name: str = ""
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """Not let in. Where too many attempts failed, nothing more is looked at for some seconds."""

    wait_seconds: int = 0


class Credentials:
    """The one password. Any user name goes with it, and is what the audit says of changes over REST."""

    def __init__(self, password: str, port: int, clock: Callable[[], float] = time.time) -> None:
        self._password = password.encode(errors="surrogateescape")
        # New at each start, so that a restart ends every session.
        self._key = hmac.digest(secrets.token_bytes(32), self._password, "sha256")
        # Cookies know no ports: two systems on one machine must not overwrite each other's.
        self._cookie = f"duetime_{port}"
        self._clock = clock
        self._failures = Failures()

    def check(self, headers: Headers, address: str) -> Admitted | Denied:
        """Whether a request from this address is let in. A wrong password counts against the address."""
        now = self._clock()
        name = self._name_in_session(cookie_parser(headers.get("cookie", "")).get(self._cookie, ""), now=now)
        if name is not None:
            return Admitted(name)
        if "authorization" not in headers:
            return Denied()
        wait_seconds = self._failures.wait_seconds(address, now=now)
        if wait_seconds:
            return Denied(wait_seconds)
        admitted = self._with_password(headers["authorization"], now=now)
        if admitted is None:
            self._failures.note(address, now=now)
        return admitted or Denied()

    def _with_password(self, authorization: str, *, now: float) -> Admitted | None:
        scheme, _, sent = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return Admitted() if self._is_password(sent.strip().encode("latin-1")) else None
        if scheme.lower() != "basic":
            return None
        try:
            name, _, password = base64.b64decode(sent.strip(), validate=True).partition(b":")
            told = name.decode()
        except ValueError:
            return None
        if not self._is_password(password) or not told.isprintable() or len(told) > MAX_NAME:
            return None
        return Admitted(told, self._session_cookie(told, now=now))

    def _is_password(self, sent: bytes) -> bool:
        return hmac.compare_digest(sent, self._password)

    def _session_cookie(self, name: str, *, now: float) -> str:
        content = base64.urlsafe_b64encode(f"{int(now) + SESSION_SECONDS}:{name}".encode()).decode()
        return f"{self._cookie}={content}.{self._signature(content)}; Path=/; HttpOnly; SameSite=Strict"

    def _name_in_session(self, session: str, *, now: float) -> str | None:
        content, _, signature = session.partition(".")
        if not session.isascii() or not hmac.compare_digest(signature, self._signature(content)):
            return None
        until, _, name = base64.urlsafe_b64decode(content).decode().partition(":")
        return name if now < int(until) else None

    def _signature(self, content: str) -> str:
        return hmac.digest(self._key, content.encode(), "sha256").hex()


class Failures:
    """How often each address failed within a minute, for as many addresses as failed last."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[float, int]] = {}

    def note(self, address: str, *, now: float) -> None:
        """One more."""
        since, count = self._failed.pop(address, (now, 0))
        self._failed[address] = (now, 1) if now >= since + FAILURES_SECONDS else (since, count + 1)
        if len(self._failed) > ADDRESSES_AT_MOST:
            del self._failed[next(iter(self._failed))]

    def wait_seconds(self, address: str, *, now: float) -> int:
        """How long the address has to wait before it may try again."""
        since, count = self._failed.get(address, (now, 0))
        left = since + FAILURES_SECONDS - now
        return int(left) + 1 if count >= FAILURES_AT_MOST and left > 0 else 0

"""The doorman: who somebody at the door is, by the session of a browser, an API key, or a password.

Whoever reaches this machine from itself alone need not say who they are, until the first account is made.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from starlette.requests import cookie_parser

from dashboard.attempts import Attempts, Turns, subjects_of
from dashboard.live import Hub, Token
from db import accounts, keys, sign_ins
from db.access import Role, Visitor
from db.engine import Catalogue
from db.errors import CatalogueUnavailable, TryAgainLater
from db.notifications import Topic

T = TypeVar("T")
MAX_NAME = 100
KNOWN_AT_MOST = 10_000
LOOK_SECONDS = 60.0
"""What is known of a credential is looked up again after so long at the latest, and at once when access changes."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Not let in. Where too many attempts failed, or are under way, nothing more is looked at for some seconds."""

    wait_seconds: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    visitor: Visitor | None
    token: Token
    until: float


class Doorman:
    """Looks at what somebody brings. What was found is remembered, so that nearly all come in without a question."""

    def __init__(
        self,
        catalogue: Catalogue,
        hub: Hub,
        *,
        password: str = "",
        cookie_name: str = "duetime",
        is_private: bool = True,
        has_provider: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`password`: the installation's, which goes with any name. `is_private`: nobody else reaches the door."""
        self._catalogue, self._hub, self._clock = catalogue, hub, clock
        self.password, self.cookie_name = password, cookie_name
        self._is_private, self.has_provider = is_private, has_provider
        self._known: dict[bytes, _Known] = {}
        self._attempts, self._turns = Attempts(), Turns()

    def recall(self, cookie: str, authorization: str) -> Visitor | None:
        """Who it is, as far as it is known without a question to the catalogue."""
        for kind, secret in self._brought(cookie, authorization):
            known = self._remembered(kind, secret)
            if known is not None and known.visitor is not None:
                return known.visitor
            if known is None and kind:
                return None
        return None

    def check(self, cookie: str, authorization: str, address: str) -> Visitor | Denied:
        """Whether somebody from this address is let in. What is wrong counts against the address.

        Raises:
            CatalogueUnavailable: it takes PostgreSQL to say so, and it does not answer.
        """
        for kind, secret in self._brought(cookie, authorization):
            if kind in ("", "session"):
                found: Visitor | Denied | None = self._look(kind, secret)
            else:
                found = self._with_authorization(kind, secret, address)
            if found is not None:
                return found
        return Denied()

    def sign_in(self, name: str, password: str, address: str) -> str | Denied:
        """The token for the browser of whoever says this name and this password.

        Raises:
            CatalogueUnavailable.
        """

        def begin() -> str | None:
            now = self._now()
            with self._catalogue.transaction() as session:
                if self._is_password(password.encode(errors="surrogateescape")) and is_name(name):
                    return sign_ins.begin_with_password(session, name, password=self.password, address=address, now=now)
                account = accounts.verified(session, name, password)
                return None if account is None else sign_ins.begin(session, account, address=address, now=now)

        return self._attempt(name, address, begin)

    def is_open(self) -> bool:
        """Whether nobody has to say who they are.

        Raises:
            CatalogueUnavailable: it is not known yet.
        """
        return self._look("", "") is not None

    def _brought(self, cookie: str, authorization: str) -> list[tuple[str, str]]:
        """What somebody has, in the order in which it is looked at; nothing at all comes last."""
        found = []
        if token := cookie_parser(cookie).get(self.cookie_name, ""):
            found.append(("session", token))
        if authorization:
            scheme, _, secret = authorization.partition(" ")
            found.append((scheme.lower(), secret.strip()))
        else:
            found.append(("", ""))
        return found

    def _with_authorization(self, scheme: str, secret: str, address: str) -> Visitor | Denied:
        name = _name_and_password(secret)[0] if scheme == "basic" else ""
        try:
            # A program may come with many requests at once: only the first of them is an attempt.
            with self._turns.of(_key(scheme, secret)):
                known = self._remembered(scheme, secret)
                if known is not None and known.visitor is not None:
                    return known.visitor
                is_guess = not secret.startswith(keys.PREFIX)  # a key is too long to be guessed
                return self._attempt(name, address, lambda: self._look(scheme, secret), is_guess=is_guess)
        except TryAgainLater as error:
            return Denied(error.wait_seconds)

    def _attempt(self, name: str, address: str, look: Callable[[], T | None], *, is_guess: bool = True) -> T | Denied:
        """What the look finds; it is not made where too many failed."""
        subjects, now = subjects_of(name=name, address=address), self._clock()
        try:
            with self._attempts.one(subjects, now=now, is_guess=is_guess) as attempt:
                found = look()
                attempt.failed = found is None
        except TryAgainLater as error:
            return Denied(error.wait_seconds)
        return Denied() if found is None else found

    def _look(self, kind: str, secret: str) -> Visitor | None:
        known = self._remembered(kind, secret)
        if known is not None:
            return known.visitor
        key, token = _key(kind, secret), self._hub.token(Topic.ACCESS)
        try:
            visitor = self._found(kind, secret)
        except CatalogueUnavailable:
            if key in self._known:
                return self._known[key].visitor
            raise
        if visitor is not None or not kind:
            self._remember(key, _Known(visitor, token, self._clock() + LOOK_SECONDS))
        else:
            self._known.pop(key, None)
        return visitor

    def _found(self, kind: str, secret: str) -> Visitor | None:
        match kind:
            case "session":
                return self._of_session(secret)
            case "bearer":
                return self._of_bearer(secret)
            case "basic":
                return self._of_basic(secret)
            case "":
                return self._of_anybody()
        return None

    def _of_session(self, token: str) -> Visitor | None:
        with self._catalogue.transaction() as session:
            return sign_ins.find(session, token, password=self.password, now=self._now())

    def _of_bearer(self, secret: str) -> Visitor | None:
        if self._is_password(secret.encode("latin-1")):  # as headers are read
            return Visitor("", Role.ADMIN)
        if not secret.startswith(keys.PREFIX):
            return None
        with self._catalogue.transaction() as session:
            return keys.find(session, secret, now=self._now())

    def _of_basic(self, secret: str) -> Visitor | None:
        name, password = _name_and_password(secret)
        if not is_name(name):
            return None
        if self._is_password(password.encode(errors="surrogateescape")):
            return Visitor(name, Role.ADMIN)
        with self._catalogue.transaction() as session:
            account = accounts.verified(session, name, password)
            return accounts.visitor(account) if account is not None else None

    def _of_anybody(self) -> Visitor | None:
        if self.password or self.has_provider or not self._is_private:
            return None
        with self._catalogue.transaction() as session:
            return None if accounts.there_are_any(session) else Visitor("", Role.ADMIN)

    def _is_password(self, sent: bytes) -> bool:
        return bool(self.password) and hmac.compare_digest(sent, self.password.encode(errors="surrogateescape"))

    def _remembered(self, kind: str, secret: str) -> _Known | None:
        known = self._known.get(_key(kind, secret))
        is_fresh = known is not None and known.token == self._hub.token(Topic.ACCESS) and known.until > self._clock()
        return known if is_fresh else None

    def _remember(self, key: bytes, known: _Known) -> None:
        self._known.pop(key, None)
        self._known[key] = known
        while len(self._known) > KNOWN_AT_MOST:
            self._known.pop(next(iter(self._known)), None)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def is_name(name: str) -> bool:
    """Whether somebody may be called so: nothing that a log or a page would not show as it is."""
    return name.isprintable() and len(name) <= MAX_NAME


def _name_and_password(secret: str) -> tuple[str, str]:
    """What HTTP Basic tells; a name that none has where it tells nothing."""
    try:
        name, _, password = base64.b64decode(secret, validate=True).decode().partition(":")
    except ValueError:
        return "\0", ""
    return name, password


def _key(kind: str, secret: str) -> bytes:
    """Secrets are not kept, so that no dump of this process tells them."""
    return hashlib.sha256(f"{kind} {secret}".encode(errors="surrogateescape")).digest()


_posted: list[Doorman] = []


def post(doorman: Doorman) -> None:
    """From now on it is this one whom the pages of this process ask."""
    _posted[:] = [doorman]


def posted() -> Doorman:
    """The doorman of this process."""
    return _posted[0]

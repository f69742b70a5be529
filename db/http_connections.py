"""Connections that end: none is held open by somebody who has not said who they are, however slowly they send.

uvicorn waits for ever for headers and bodies that do not end. Here each part of a request has a time, and the
connections have a number: of an address, and of all. The dashboard and Prefect's server are served so.
"""

import asyncio
import logging
import resource
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from db.hosts import is_loopback, network_of

log = logging.getLogger(__name__)

HEADERS_AT_MOST = 32 * 1024
"""Bytes of a request's line and headers; a browser's cookies are the most of it."""
GONE_MILLISECONDS = 60_000
"""After so long without a sign of the other side, or of its reading what is sent, the kernel ends a connection."""
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def most_at_once() -> int:
    """Half of the files that this process may have open: the rest is for the database and what else it needs."""
    return max(64, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the parts of a request may take, and how many connections there may be."""

    head_seconds: float = 15.0
    """From the first moment at which a request may come to the end of its headers."""
    body_seconds: float = 60.0
    """From there to the end of its body; whoever reads one has a shorter time of its own, and answers then."""
    rest_seconds: float = 3.0
    """For the rest of a body that nobody reads any more, since the answer was sent."""
    of_address: int = 256
    """Not of this machine's own, where a proxy may stand for everybody."""
    of_all: int = field(default_factory=most_at_once)


class Places:
    """Who has a connection, and who of them keeps us waiting for a request, the one that waits longest first."""

    def __init__(self) -> None:
        self._of_address: dict[str, int] = {}
        self._waiting: dict[BoundedConnection, None] = {}
        self._all = 0

    def take(self, one: "BoundedConnection", limits: Limits) -> bool:
        """Whether there is room; it is made at the expense of those who have not even sent a request."""
        of_address = self._of_address.get(one.address, 0)
        if not one.is_near and of_address >= limits.of_address and not self._make_room(one.address):
            return False
        if self._all >= limits.of_all and not self._make_room(None):
            return False
        self._of_address[one.address] = self._of_address.get(one.address, 0) + 1
        self._all += 1
        return True

    def release(self, one: "BoundedConnection") -> None:
        """It is over."""
        self.waits(one, False)
        self._all -= 1
        self._of_address[one.address] -= 1
        if not self._of_address[one.address]:
            del self._of_address[one.address]

    def waits(self, one: "BoundedConnection", is_waiting: bool) -> None:
        """Notes whether the headers of a request are still to come."""
        self._waiting.pop(one, None)
        if is_waiting:
            self._waiting[one] = None

    def _make_room(self, address: str | None) -> bool:
        found = next((one for one in self._waiting if address in (None, one.address)), None)
        if found is not None:
            found.leave()
        return found is not None


class BoundedConnection(H11Protocol):
    """uvicorn's connection, with an end to each part of a request."""

    limits: ClassVar[Limits] = Limits()
    places: ClassVar[Places] = Places()

    address = ""
    is_near = False
    """Whether it comes from this machine itself."""
    _has_place = False
    _part = ""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        self.address, self.is_near = network_of(host), not host or is_loopback(host)
        _notice_when_it_is_gone(transport)
        self._has_place = self.places.take(self, self.limits)
        if self._has_place:
            self._watch()
        else:
            log.warning("A connection from %s was refused: there are too many", host)
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave_place()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        # The gate decides about it at once, and pings find out whether somebody is still there.
        self.leave_place()
        super().handle_websocket_upgrade(event)

    def leave_place(self) -> None:
        """Nothing here waits for it any more."""
        self._set_timer("", None)
        if self._has_place:
            self._has_place = False
            self.places.release(self)

    def leave(self) -> None:
        """Ends at once, to make room."""
        self.leave_place()
        self.transport.abort()

    def _watch(self) -> None:
        """Sets the time of the part of a request that is waited for, when it begins; what drips in sets no other."""
        if not self._has_place or self.transport.is_closing():
            return
        part, seconds = self._waited_for()
        if part != self._part:
            self.places.waits(self, part == "head")
            self._set_timer(part, seconds)

    def _waited_for(self) -> tuple[str, float | None]:
        their_state = self.conn.their_state
        if their_state is h11.IDLE:
            return "head", self.limits.head_seconds
        if their_state is h11.SEND_BODY:
            is_answered = self.cycle is not None and self.cycle.response_complete
            return ("rest", self.limits.rest_seconds) if is_answered else ("body", self.limits.body_seconds)
        return "", None

    def _set_timer(self, part: str, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._part = part
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._end)

    def _end(self) -> None:
        if self.transport.is_closing():
            return
        has_begun = bool(self.conn.trailing_data[0])
        if self._part == "head" and has_begun:
            self.transport.write(TOO_SLOW)
        self.transport.close()


def _notice_when_it_is_gone(transport: asyncio.Transport) -> None:
    connected = cast("socket.socket | None", transport.get_extra_info("socket"))
    options: list[tuple[int, int, int]] = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    options += [(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30), (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)]
    options += [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_MILLISECONDS)]
    with suppress(OSError, AttributeError):  # a socket of another kind
        for level, option, value in options:
            connected.setsockopt(level, option, value)  # type: ignore[union-attr]


SERVED: dict[str, Any] = {
    "http": BoundedConnection,
    "ws": "websockets-sansio",
    "h11_max_incomplete_event_size": HEADERS_AT_MOST,
    "timeout_keep_alive": 5,
    # What pages send is small: a text area, a table's selection.
    "ws_max_size": 2 * 1024 * 1024,
}
"""How uvicorn is to serve the dashboard."""

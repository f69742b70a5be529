"""Whoever sends without end, or nothing at all, is not waited for, at a real server."""

import asyncio
import base64
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import uvicorn

from dashboard import sign_in
from db import accounts, http_connections
from db.access import Role
from db.engine import Catalogue
from db.http_connections import SERVED, BoundedConnection, Limits, Places
from tests.conftest import FreshDatabase
from tests.doors import house
from tests.system import free_port
from tests.waiting import wait_until

HEAD = "{} HTTP/1.1\r\nHost: localhost:3000\r\n"
SOON = 20.0
"""Seconds, on a slow machine; without limits it would be for ever."""


class Quick(BoundedConnection):
    limits = Limits(head_seconds=0.6, body_seconds=4.0, rest_seconds=0.5, of_address=6, of_all=10)
    places = Places()


@pytest.fixture(scope="module")
def port(fresh_database: FreshDatabase, migrated: str) -> Iterator[int]:
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        with catalogue.transaction() as session:
            given = {"password": "correct horse battery", "actor": "root", "now": datetime.now(UTC)}
            accounts.add(session, "ada", role=Role.ADMIN, **given)  # type: ignore[arg-type]
        config = uvicorn.Config(house(catalogue, {}), port=free_port(), log_level="error", **{**SERVED, "http": Quick})
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        wait_until(lambda: server.started, "the server to listen")
        yield server.config.port
        server.should_exit = True
        thread.join()
        catalogue.close()


@pytest.fixture(autouse=True)
def from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from this machine is counted as if it came from another one."""
    monkeypatch.setattr(http_connections, "is_loopback", lambda _: False)
    monkeypatch.setattr(sign_in, "BODY_SECONDS", 0.6)


def dripped(port: int, begin: bytes, drop: bytes) -> tuple[bytes, float]:
    """What is answered to somebody who goes on sending drops, and after how long they are left."""
    began, answer = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", port), timeout=SOON) as connection:
        connection.sendall(begin)
        connection.settimeout(0.1)
        while time.monotonic() - began < SOON:
            try:
                received = connection.recv(65_536)
            except TimeoutError:
                try:
                    connection.sendall(drop)
                except OSError:
                    break
            except OSError:
                break
            else:
                answer += received
                if not received:
                    break
    return answer, time.monotonic() - began


def form(path: str, more: str = "") -> bytes:
    head = HEAD.format(f"POST {path}") + "Content-Type: application/x-www-form-urlencoded\r\n"
    return f"{head}{more or 'Content-Length: 9000'}\r\n\r\n".encode()


SLOW = {
    "nothing at all": (b"", b""),
    "a request line": (b"GET /today", b"x"),
    "headers": (HEAD.format("GET /today").encode(), b"X-More: x\r\n"),
    "one long header": (HEAD.format("GET /today").encode() + b"X-Long: ", b"x" * 500),
    "the body of a sign-in": (form("/sign-in"), b"x"),
    "the body of a first account": (form("/sign-in/first"), b"x"),
    "chunks": (form("/sign-in", "Transfer-Encoding: chunked"), b"1\r\nx\r\n"),
    "a body that nobody wants": (form("/api/tasks"), b"x"),
    "a body of a page": (form("/today"), b"x"),
    "a second request": (HEAD.format("GET /sign-in").encode() + b"\r\n", b"X"),
    "an upgrade that does not end": (HEAD.format("GET /live").encode() + b"Upgrade: websocket\r\n", b"X-More: x\r\n"),
}


@pytest.mark.parametrize("what", SLOW)
def test_nobody_who_is_unknown_holds_a_connection_for_long(port: int, what: str) -> None:
    answer, seconds = dripped(port, *SLOW[what])
    assert seconds < SOON
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:100]
    wait_until(lambda: Quick.places._all == 0, "its place to be free")


@pytest.mark.parametrize("what", ["headers", "the body of a sign-in", "the body of a first account"])
def test_whoever_is_too_slow_is_told_so(port: int, what: str) -> None:
    answer, _ = dripped(port, *SLOW[what])
    assert answer.startswith(b"HTTP/1.1 408"), answer


def test_headers_have_a_size(port: int) -> None:
    request = HEAD.format("GET /today") + "".join(f"X-{number}: {'x' * 100}\r\n" for number in range(1_000))
    answer, _ = dripped(port, request.encode(), b"")
    assert answer.startswith(b"HTTP/1.1 400") or not answer


def test_a_foreign_websocket_is_left_at_once(port: int) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    answer, seconds = dripped(
        port, (HEAD.format("GET /live") + f"{upgrade}Sec-WebSocket-Key: {key}\r\n\r\n").encode(), b"x"
    )
    assert answer.startswith(b"HTTP/1.1 403"), answer
    assert seconds < SOON
    wait_until(lambda: Quick.places._all == 0, "its place to be free")


def test_whoever_waits_longest_makes_room_for_the_next(port: int) -> None:
    with ExitStack() as opened:
        waiting = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(40)]
        answer, _ = dripped(port, HEAD.format("GET /sign-in").encode() + b"Connection: close\r\n\r\n", b"")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        for one in waiting:
            one.settimeout(SOON)
        assert [_end_of(one) for one in waiting] == [b""] * 40


def _end_of(connection: socket.socket) -> bytes:
    try:
        return connection.recv(100)
    except ConnectionResetError:
        return b""


def test_an_address_has_no_more_than_its_places(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who have sent a request are not made to go: the next one is refused."""
    # However slow this machine is.
    monkeypatch.setattr(Quick, "limits", replace(Quick.limits, body_seconds=60.0))
    monkeypatch.setattr(sign_in, "BODY_SECONDS", 60.0)
    begun = form("/sign-in")
    with ExitStack() as opened:
        for number in range(Quick.limits.of_address):
            opened.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(begun)
            wait_until(lambda: Quick.places._all == number + 1 and not Quick.places._waiting, "it to be read")  # noqa: B023
        answer, _ = dripped(port, HEAD.format("GET /sign-in").encode() + b"\r\n", b"")
        assert answer == b""


def test_connections_of_this_machine_are_counted_for_all_only() -> None:
    places, limits = Places(), Limits(of_address=1, of_all=3)

    class One:
        address, is_near = "127.0.0.1", True

    taken = [places.take(One(), limits) for _ in range(4)]  # type: ignore[arg-type]
    assert taken == [True, True, True, False]


def test_a_request_that_is_answered_slowly_is_not_cut_off() -> None:
    async def slow(scope: object, receive: object, send: object) -> None:  # noqa: ARG001
        await asyncio.sleep(1.5)
        await send({"type": "http.response.start", "status": 204, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    server = uvicorn.Server(uvicorn.Config(slow, port=free_port(), log_level="error", **{**SERVED, "http": Quick}))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, "the server to listen")
    answer, _ = dripped(server.config.port, HEAD.format("GET /").encode() + b"Connection: close\r\n\r\n", b"")
    server.should_exit = True
    thread.join()
    assert answer.startswith(b"HTTP/1.1 204"), answer

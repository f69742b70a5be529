"""A body that comes in drops, at a real server."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from dashboard.api import bodies
from dashboard.api.app import create_api
from dashboard.live import Hub
from db.engine import Catalogue
from tests.doors import ANYBODY, let_in
from tests.system import free_port
from tests.waiting import wait_until

HEAD = b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def port(catalogue: Catalogue) -> Iterator[int]:
    app = let_in(create_api(catalogue, Hub(catalogue.url)), ANYBODY)
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, "the server to listen")
    yield server.config.port
    server.should_exit = True
    thread.join()


def test_whoever_sends_a_drop_now_and_then_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS_AT_MOST", 1.0)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(HEAD)
        connection.settimeout(0.2)
        answer, closed = b"", False
        while not closed and time.monotonic() - began < 15:
            try:
                received = connection.recv(4096)
            except TimeoutError:
                connection.sendall(b" ")
            else:
                answer, closed = answer + received, not received
    assert answer.startswith(b"HTTP/1.1 408"), answer
    assert b"did not arrive within 1 s" in answer
    assert time.monotonic() - began < 10

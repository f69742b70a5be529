"""A connection whose other side does not read has an end, and what was sent over it with it."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from db import http_connections
from db.http_connections import SERVED
from tests.system import free_port
from tests.waiting import wait_until

LINE = b"x" * 65_536
OPENING = (
    "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Sending:
    """Sends without end, and notes when that ended."""

    def __init__(self) -> None:
        self.begun, self.over = threading.Event(), threading.Event()

    async def stream(self, _request: Request) -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            try:
                for _ in range(10_000):
                    self.begun.set()
                    yield LINE
            finally:
                self.over.set()

        return StreamingResponse(lines())

    async def socket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            for _ in range(10_000):
                self.begun.set()
                await websocket.send_bytes(LINE)
        finally:
            self.over.set()


@pytest.fixture
def sending(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sending, int]]:
    monkeypatch.setattr(http_connections, "GONE_MILLISECONDS", 1000)
    sending, port = Sending(), free_port()
    routes = [Route("/stream", sending.stream), WebSocketRoute("/socket", sending.socket)]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=port, log_level="critical", **SERVED))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, "the server answers")
    yield sending, port
    server.should_exit = server.force_exit = True
    thread.join(30)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system cannot tell")
@pytest.mark.parametrize("request_text", ["GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", OPENING], ids=["stream", "socket"])
def test_what_nobody_reads_is_not_sent_for_ever(sending: tuple[Sending, int], request_text: str) -> None:
    sender, port = sending
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request_text.encode())
        assert sender.begun.wait(30)
        assert sender.over.wait(60)

"""Prefect's server as it is reached: by pages of others and our own, by programs, with the auth string and without."""

import json
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from itertools import product
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

from db.hosts import Hosts
from flows.prefect_guard import guarded
from tests.prefect_server import AUTH, PrefectServer

pytestmark = pytest.mark.xdist_group("prefect")
FOREIGN = ("https://evil.example", "null", "http://127.0.0.1:8000")
RIGHT, WRONG = ("duetime", AUTH.partition(":")[2]), ("duetime", "wrong")
KNOWN = {"Authorization": f"Basic {b64encode(AUTH.encode()).decode()}"}
FLOW = {"name": "planted"}


@pytest.fixture
def here(prefect_server: PrefectServer) -> Iterator[httpx.Client]:
    """Somebody on this machine."""
    with httpx.Client(base_url=f"http://127.0.0.1:{prefect_server.port}", timeout=20) as client:
        yield client


def flows(client: httpx.Client) -> int:
    """How many there are."""
    counted: int = client.post("/api/flows/count", json={}, auth=RIGHT).raise_for_status().json()
    return counted


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("content", ["application/json", "text/plain", "application/x-www-form-urlencoded", None])
def test_what_a_foreign_page_posts_does_nothing(here: httpx.Client, origin: str, content: str | None) -> None:
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"} | ({"Content-Type": content} if content else {})
    for known in ({}, KNOWN):
        answer = here.post("/api/flows/", content=json.dumps(FLOW), headers=headers | known)
        assert answer.status_code == 403
        assert "DUETIME_PREFECT_HOSTS" in answer.json()["exception_message"]
    assert flows(here) == 0


def test_a_page_without_an_origin_or_by_another_name_does_nothing(here: httpx.Client) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Host": "rebound.example:4200"}, {"Host": "127.0.0.1:1"}):
        assert here.post("/api/flows/", json=FLOW, headers=headers).status_code == 403
    assert here.get("/api/flows/", headers={"Host": "rebound.example"}).status_code == 403
    assert flows(here) == 0


def test_no_answer_is_for_the_pages_of_others(here: httpx.Client) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for method, origin in product(("OPTIONS", "GET", "HEAD", "POST"), FOREIGN):
        answer = here.request(method, "/api/admin/version", headers={"Origin": origin, **asked})
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    page = here.get("/dashboard", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["X-Frame-Options"]) == (200, "DENY")


def test_our_own_pages_read_what_it_answers_by_whichever_name(here: httpx.Client) -> None:
    own = f"http://localhost:{here.base_url.port}"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    preflight = here.options("/api/flows/", headers={"Origin": own, **asked})
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (200, own)
    answer = here.post("/api/flows/", json=FLOW, headers={"Origin": own, "Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (201, own)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /api/flows/count HTTP/1.1\r\nHost: 127.0.0.1:{port}", 200),
        ("POST /api/flows/count HTTP/1.0", 403),
        ("POST /api/flows/count HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example", 400),
        ("POST http://127.0.0.1:{port}/api/flows/count HTTP/1.1\r\nHost: evil.example", 403),
        ("POST http://a.example/api/flows/count HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://a.example", 403),
        ("POST /api/flows/count HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: 127.0.0.1:{port}", 403),
    ],
)
def test_a_request_is_looked_at_as_it_stands_on_the_wire(
    shared_prefect_server: PrefectServer, head: str, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", shared_prefect_server.port), timeout=20) as wire:
        body = "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        wire.sendall(f"{head.format(port=shared_prefect_server.port)}\r\n{body}".encode())
        assert wire.makefile("rb").readline().split()[1] == str(status).encode()


def test_alone_on_a_machine_nobody_needs_the_string(here: httpx.Client, prefect_server: PrefectServer) -> None:
    assert here.post("/api/flows/", json=FLOW).status_code == 201
    assert here.get("/ui-settings").json()["auth"] is None
    with prefect_server.with_accounts():
        assert here.get("/ui-settings").json()["auth"] == "BASIC"
        asked = here.post("/api/flows/", json=FLOW)
        assert asked.status_code == 401
        assert "export PREFECT_API_AUTH_STRING=" in asked.json()["exception_message"]
        assert here.post("/api/flows/", json=FLOW, auth=RIGHT).status_code == 200
        assert here.get("/api/ready").status_code == 200
    assert here.get("/ui-settings").json()["auth"] is None


def test_a_wrong_string_never_opens(here: httpx.Client, prefect_server: PrefectServer) -> None:
    half = b64encode(b"duetime").decode()
    for headers in ({"Authorization": f"Basic {half}"}, {"Authorization": "Bearer x"}, {"Authorization": ""}):
        assert here.post("/api/flows/count", json={}, headers=headers).status_code == 401
    assert here.post("/api/flows/count", json={}, auth=WRONG).status_code == 401
    with prefect_server.with_accounts():
        assert here.post("/api/flows/count", json={}, auth=WRONG).status_code == 401


def opened(server: PrefectServer, **more: Any) -> ClientConnection:
    address = f"ws://127.0.0.1:{server.port}/api/events/in"
    return connect(address, subprotocols=[Subprotocol("prefect")], open_timeout=20, close_timeout=5, **more)


def said(socket: Connection, message: object) -> str:
    """What is answered: `auth_success`, or with which code the socket is closed."""
    socket.send(json.dumps(message))
    try:
        return str(json.loads(socket.recv(20))["type"])
    except ConnectionClosed as error:
        return str(error.rcvd.code if error.rcvd else "gone")


@pytest.mark.parametrize("token", [None, "", AUTH, "wrong"])
def test_a_websocket_says_the_string_in_its_first_message(
    shared_prefect_server: PrefectServer, token: str | None
) -> None:
    first = {"type": "auth", "token": token}
    with opened(shared_prefect_server) as socket:
        assert said(socket, first) == ("1008" if token == "wrong" else "auth_success")
    with shared_prefect_server.with_accounts(), opened(shared_prefect_server) as socket:
        assert said(socket, first) == ("auth_success" if token == AUTH else "1008")


@pytest.mark.parametrize("first", ["x", [], {"type": "hello"}, {"token": AUTH}])
def test_a_websocket_that_says_something_else_first_is_closed(
    shared_prefect_server: PrefectServer, first: object
) -> None:
    with opened(shared_prefect_server) as socket:
        assert said(socket, first) != "auth_success"


def test_a_websocket_that_came_without_the_string_ends_with_the_first_account(
    shared_prefect_server: PrefectServer,
) -> None:
    with opened(shared_prefect_server) as stranger, opened(shared_prefect_server) as part:
        assert said(stranger, {"type": "auth", "token": None}) == "auth_success"
        assert said(part, {"type": "auth", "token": AUTH}) == "auth_success"
        with shared_prefect_server.with_accounts():
            assert said(stranger, {}) == "1012"
            part.ping().wait(20)
            part.send(json.dumps({}))  # no event: Prefect itself ends it, and not for want of the string
            with pytest.raises(ConnectionClosed) as ended:
                part.recv(20)
            assert ended.value.rcvd is None or ended.value.rcvd.code != 1012


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_opens_no_websocket(shared_prefect_server: PrefectServer, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(shared_prefect_server, additional_headers={"Origin": origin}):
        pass
    assert refused.value.response.status_code == 403
    browser = {"User-Agent": "Mozilla/5.0"}
    with (
        pytest.raises(InvalidStatus),
        opened(shared_prefect_server, user_agent_header=None, additional_headers=browser),
    ):
        pass


async def echo(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers with the credentials that it was given."""
    told = dict(scope["headers"]).get(b"authorization", b"none")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told})


@pytest.mark.parametrize(
    ("client", "introduced"),
    [("127.0.0.1", True), ("::1", True), ("10.0.0.5", False), ("testclient", False)],
)
def test_only_from_this_machine_somebody_comes_in_without_the_string(client: str, introduced: bool) -> None:
    async def is_open() -> bool:
        return True

    hosts = Hosts.named("0.0.0.0", 4200, ["prefect-server"], variable="DUETIME_PREFECT_HOSTS")  # noqa: S104
    app = guarded(echo, hosts, auth_string="a:b", is_open=is_open)
    here = TestClient(app, base_url="http://prefect-server:4200", client=(client, 5000))
    assert here.get("/api/x").text == ("Basic YTpi" if introduced else "none")


def test_whoever_sends_no_end_of_their_headers_is_not_waited_for(shared_prefect_server: PrefectServer) -> None:
    ends = time.monotonic() + 60  # uvicorn's own connections would stay for ever
    with socket.create_connection(("127.0.0.1", shared_prefect_server.port), timeout=60) as silent:
        silent.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-More: ")
        assert silent.recv(100).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() < ends

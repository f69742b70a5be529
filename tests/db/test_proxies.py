"""Where the environment names a proxy, the system's own addresses are asked directly, and others as before."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from db.proxies import EXCEPTIONS, PROXIES, asked_directly

VARIABLES = [name for lower in PROXIES for name in (lower, lower.upper())]


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def own() -> Iterator[int]:
    """The port of a part of ours."""
    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    """A proxy that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_part_is_reached_whatever_proxy_is_named(
    variable: str, own: int, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*VARIABLES, *EXCEPTIONS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, silent)
    if variable.lower() != "https_proxy":
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"http://127.0.0.1:{own}/", timeout=0.3)
    for name, value in asked_directly({variable: silent}).items():
        monkeypatch.setenv(name, value)
    for host in ("127.0.0.1", "localhost"):
        assert httpx.get(f"http://{host}:{own}/", timeout=10).status_code == 200
        assert get_proxy(parse_uri(f"ws://{host}:{own}/")) is None


def test_what_is_excepted_already_stays_so() -> None:
    found = asked_directly({"HTTP_PROXY": "http://p:1", "no_proxy": "a.example, b", "NO_PROXY": "c"})
    assert found == dict.fromkeys(EXCEPTIONS, "a.example,b,c,localhost,127.0.0.1,::1")


def test_without_a_proxy_nothing_is_set() -> None:
    assert asked_directly({"NO_PROXY": "a"}, "http://prefect:4200/api") == {}


@pytest.mark.parametrize(
    ("address", "direct"),
    [
        ("http://prefect:4200/api", "prefect"),
        ("http://10.0.0.7:4200/api", "10.0.0.7"),
        ("http://[fd00::7]:4200/api", "fd00::7"),
        ("https://api.prefect.cloud/api", None),
        ("http://8.8.8.8/api", None),
        ("http://[", None),
        ("", None),
    ],
)
def test_an_address_nearby_is_asked_directly_and_one_far_away_by_the_proxy(address: str, direct: str | None) -> None:
    hosts = asked_directly({"all_proxy": "http://p:1"}, address)["no_proxy"].split(",")
    assert hosts == ["localhost", "127.0.0.1", "::1", *([direct] if direct else [])]

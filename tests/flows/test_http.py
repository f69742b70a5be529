"""HTTP attempts against a real server on this machine, which does what servers do on bad days."""

import asyncio
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from db.actions import HttpAction
from db.specs import task_key
from db.states import RunState
from flows import kinds, lines
from flows.attempts import Result
from flows.http import is_expected
from tests.flows.conftest import DUE_AT, TASK_ID, Log, Under, attempt, attempt_and, begun, nothing, until
from tests.system import free_port


@dataclass
class Asked:
    """A request as the server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Site:
    """A server, what it was asked, and how many bytes of endless answers it got rid of."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    poured: int = 0
    hung_up: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): text for name, text in self.headers.items()}
        self.site.asked.append(Asked(self.command, self.path, headers, body))
        name, _, rest = self.path.lstrip("/").partition("/")
        getattr(self, f"_{name}")(rest)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = _serve

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _status(self, rest: str) -> None:
        self._answer(int(rest), b"this is why\n")

    def _charset(self, rest: str) -> None:
        self._answer(200, b"caf\xe9\n", Content_Type=f"text/plain; charset={rest}")

    def _redirect(self, rest: str) -> None:
        self._answer(302, Location=f"/{rest}")

    def _away(self, rest: str) -> None:
        self._answer(302, location=rest)

    def _round(self, _: str) -> None:
        self._answer(302, Location="/round/and")

    def _cookie(self, _: str) -> None:
        self._answer(200, Set_Cookie="session=1; Path=/")

    def _slow(self, _: str) -> None:
        self.site.hung_up.wait(30)

    def _drip(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"first\n")
        self._until_hung_up(b"")

    def _endless(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        self._until_hung_up(b"x" * 1023 + b"\n")

    def _until_hung_up(self, piece: bytes) -> None:
        self.close_connection = True
        try:
            while not self.site.hung_up.is_set():
                self.wfile.write(piece)
                self.site.poured += len(piece)
                if not piece:
                    self.connection.settimeout(0.05)
                    try:
                        if self.connection.recv(1) == b"":
                            break
                    except TimeoutError:
                        continue
        except OSError:
            pass
        self.site.hung_up.set()

    def _broken(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def _silence(self, _: str) -> None:
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """The tests look at what was asked."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients hang up here on purpose."""


def _serving(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site = handler.site = Site(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield site
    site.hung_up.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def site() -> Iterator[Site]:
    yield from _serving()


@pytest.fixture
def own_certificate(tmp_path: Path) -> ssl.SSLContext:
    """A certificate that nobody has heard of."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = tmp_path / "own.pem"
    pem.write_bytes(key.private_bytes(*form) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.fixture
def secret_site(own_certificate: ssl.SSLContext) -> Iterator[Site]:
    yield from _serving(own_certificate)


def send(url: str, *, timeout_seconds: float | None = 20, **action: Any) -> tuple[Result, Log]:
    return attempt(HttpAction.model_validate({"url": url, **action}), timeout_seconds=timeout_seconds)


# What is sent.


def test_a_request_is_sent_as_the_task_says_and_its_answer_is_in_the_log(site: Site) -> None:
    result, log = send(f"{site.url}/status/200", method="PUT", headers={"X-Token": "t0p"}, body="héllo")
    assert result == Result(RunState.COMPLETED)
    (asked,) = site.asked
    assert (asked.method, asked.path, asked.body) == ("PUT", "/status/200", "héllo".encode())
    assert asked.headers["x-token"] == "t0p"
    assert log.stdout == ["this is why"]
    assert log.system[0] == f"PUT {site.url}/status/200"
    assert re.match(r"Answered 200 OK after \d+\.\d{3} s", log.system[1])


@pytest.mark.parametrize("document", [{"a": [1, None]}, [], "text", 0, False])
def test_json_is_sent_as_json_whatever_the_document(site: Site, document: Any) -> None:
    send(f"{site.url}/status/200", json=document)
    (asked,) = site.asked
    assert json.loads(asked.body) == document
    assert asked.headers["content-type"] == "application/json"


def test_without_a_body_nothing_is_sent(site: Site) -> None:
    send(f"{site.url}/status/200", method="GET")
    assert site.asked[0].body == b""


def test_a_due_time_has_one_idempotency_key_in_all_its_attempts(site: Site) -> None:
    action = HttpAction(url=f"{site.url}/status/200")
    for number in (1, 2):
        attempt(action, number=number)
    attempt(action, due_at=DUE_AT + timedelta(minutes=1))
    first, again, later = (asked.headers["idempotency-key"] for asked in site.asked)
    assert first == again == task_key(TASK_ID, DUE_AT)
    assert later != first


def test_an_idempotency_key_of_the_user_wins(site: Site) -> None:
    send(f"{site.url}/status/200", headers={"idempotency-KEY": "mine"})
    assert site.asked[0].headers["idempotency-key"] == "mine"


def test_a_name_and_password_in_the_url_are_sent_and_never_shown(site: Site) -> None:
    url = site.url.replace("//", "//ann:sesame@")
    result, log = send(f"{url}/redirect/status/404")
    assert site.asked[-1].headers["authorization"] == "Basic YW5uOnNlc2FtZQ=="
    assert "sesame" not in log.text + str(result.error)


def test_no_value_of_a_header_is_ever_logged(site: Site) -> None:
    for path in ("status/200", "status/500", "broken", "silence"):
        result, log = send(f"{site.url}/{path}", headers={"Authorization": "Bearer sesame"})
        assert "sesame" not in log.text + str(result.error)


def test_cookies_of_one_attempt_are_unknown_to_the_next(site: Site) -> None:
    async def twice() -> None:
        for _ in range(2):
            await begun(nothing, HttpAction(url=f"{site.url}/redirect/cookie"))
        await kinds.close()

    asyncio.run(twice())
    assert len(site.asked) == 4
    assert not any("cookie" in asked.headers for asked in site.asked)


# What an answer means.


@pytest.mark.parametrize(
    ("status", "expected", "state"),
    [
        (204, "2xx", RunState.COMPLETED),
        (404, "2xx", RunState.FAILED),
        (404, "200,404", RunState.COMPLETED),
        (204, "200,404", RunState.FAILED),
        (503, "2xx, 5xx", RunState.COMPLETED),
    ],
)
def test_the_status_decides(site: Site, status: int, expected: str, state: RunState) -> None:
    assert send(f"{site.url}/status/{status}", expect_status=expected)[0].state is state


def test_an_unexpected_status_says_what_came_and_where_to_look(site: Site) -> None:
    result, log = send(f"{site.url}/status/503")
    assert result.error == (
        "Answered 503 Service Unavailable, expected 2xx."
        " What it said is in the log. If this is right, add it to the task's expect_status."
    )
    assert log.stdout == ["this is why"]


@pytest.mark.parametrize(
    ("status", "expect", "expected"), [(200, "2xx", True), (302, "2xx,30", False), (20, "2", False)]
)
def test_codes_are_compared_whole(status: int, expect: str, expected: bool) -> None:
    assert is_expected(status, expect) is expected


def test_redirects_are_followed_unless_the_task_says_otherwise(site: Site) -> None:
    followed, log = send(f"{site.url}/redirect/status/200", method="GET")
    assert followed.state is RunState.COMPLETED
    assert f"Answered 200 OK from {site.url}/status/200" in log.system[1]
    assert send(f"{site.url}/redirect/status/200", follow_redirects=False)[0].state is RunState.FAILED


@pytest.mark.parametrize(
    ("charset", "shown"), [("latin-1", "café"), ("utf-8", "caf�"), ("zlib", "caf�"), ("no", "caf�")]
)
def test_a_body_is_read_in_the_charset_that_it_names_if_that_is_one(site: Site, charset: str, shown: str) -> None:
    assert send(f"{site.url}/charset/{charset}")[1].stdout == [shown]


def test_an_answer_to_head_has_no_body(site: Site) -> None:
    result, log = send(f"{site.url}/status/200", method="HEAD")
    assert (result.state, log.stdout) == (RunState.COMPLETED, [])


def test_an_endless_answer_is_read_as_far_as_it_can_be_kept_and_no_further(site: Site) -> None:
    result, log = send(f"{site.url}/endless")
    assert result.state is RunState.COMPLETED
    assert sum(len(line) + 1 for line in log.stdout) <= lines.MAX_BYTES
    assert "what follows is dropped" in log.system[2]
    assert site.hung_up.wait(20)
    # What the system's buffers hold besides.
    assert site.poured < 2 * lines.MAX_BYTES


def test_what_has_come_of_a_body_is_shown_while_the_rest_is_waited_for(site: Site) -> None:
    async def meanwhile(under: Under) -> None:
        await until(lambda: under.log.stdout == ["first"], "the first line")
        under.cancel.set()

    result, _ = attempt_and(meanwhile, HttpAction(url=f"{site.url}/drip"))
    assert result == Result(RunState.CANCELLED, error="Cancelled.")
    assert site.hung_up.wait(20)


# What goes wrong.


def test_a_host_that_nobody_knows() -> None:
    result, _ = send("http://nosuch.invalid/")
    assert result.state is RunState.FAILED
    assert (result.error or "").startswith("No address is known for nosuch.invalid: ")


def test_nothing_is_sent_to_where_a_machine_tells_its_credentials() -> None:
    result, _ = send("http://169.254.169.254/latest/meta-data/", method="GET")
    assert result.state is RunState.FAILED
    assert result.error == (
        "Nothing was sent to 169.254.169.254: 169.254.169.254 is where a machine tells its credentials. "
        "Allow it by DUETIME_HTTP_ALLOW if this is meant."
    )


def test_a_name_is_judged_by_what_it_resolves_to_also_after_a_redirect(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUETIME_HTTP_DENY", "127.0.0.1, ::1")
    for url in (site.url, site.url.replace("127.0.0.1", "localhost")):
        result, _ = send(f"{url}/status/200")
        assert "is denied by DUETIME_HTTP_DENY" in (result.error or "")
    assert site.asked == []
    monkeypatch.setenv("DUETIME_HTTP_ALLOW", "127.0.0.1")
    result, _ = send(f"{site.url}/away/http://169.254.169.254/", method="GET")
    assert "is not among the addresses of DUETIME_HTTP_ALLOW" in (result.error or "")


def test_a_port_where_nobody_listens() -> None:
    where = f"127.0.0.1:{free_port()}"
    result, _ = send(f"http://{where}/")
    assert result.error == f"{where} refused the connection. Check the port, and that the service runs there."


def test_a_certificate_that_nobody_signed_is_accepted_only_when_the_task_says_so(secret_site: Site) -> None:
    result, _ = send(f"{secret_site.url}/status/200")
    where = secret_site.url.removeprefix("https://")
    assert result.error == (
        f"The certificate of {where} is not accepted: self-signed certificate."
        " Correct it there, or set verify_tls to false to accept any certificate."
    )
    assert send(f"{secret_site.url}/status/200", verify_tls=False)[0].state is RunState.COMPLETED


def test_https_where_http_is_spoken(site: Site) -> None:
    result, _ = send(site.url.replace("http", "https"))
    assert "Check that this port speaks https." in (result.error or "")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("broken", "peer closed connection without sending complete message body"),
        ("silence", "Server disconnected without sending a response"),
        ("round/and", "Too many redirects. Check the URL, or set follow_redirects to false."),
    ],
)
def test_an_answer_that_is_none(site: Site, path: str, said: str) -> None:
    result, _ = send(f"{site.url}/{path}")
    assert result.state is RunState.FAILED
    assert said in (result.error or "")


def test_a_server_that_does_not_answer_in_time(site: Site) -> None:
    result, _ = send(f"{site.url}/slow", timeout_seconds=0.3)
    assert result == Result(RunState.TIMED_OUT, error="Timed out after 0.3 s.")


def test_a_connection_that_is_never_accepted_can_be_cancelled_at_once() -> None:
    # Nobody accepts, and the backlog is full: the next one waits in connect.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        cancelled_at = 0.0

        async def meanwhile(under: Under) -> None:
            nonlocal cancelled_at
            await until(lambda: under.log.system, "the request")
            await asyncio.sleep(0)
            cancelled_at = time.monotonic()
            under.cancel.set()

        result, _ = attempt_and(meanwhile, HttpAction(url=f"http://127.0.0.1:{full.getsockname()[1]}/"))
        assert result.state is RunState.CANCELLED
        assert time.monotonic() - cancelled_at < 10

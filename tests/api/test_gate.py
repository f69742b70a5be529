"""The gate, before an application that lets everybody in."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from dashboard.binding import UnsafeBinding, check_binding
from dashboard.gate import GateSettings
from db.engine import Catalogue
from tests.conftest import FreshDatabase
from tests.doors import gated

PASSWORD = "correct horse battery"
HERE = {"Host": "localhost:3000"}


async def everybody(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the identity that it was told."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})
        return
    told = dict(scope["headers"]).get(b"x-forwarded-user", b"nobody")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told})


class AtTheGate:
    """Somebody before it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    @contextmanager
    def __call__(self, host: str = "127.0.0.1", **environ: str) -> Iterator[TestClient]:
        yield TestClient(gated(everybody, self.catalogue, environ, host=host), base_url="http://localhost:3000")


@pytest.fixture(scope="module")
def at_the_gate(fresh_database: FreshDatabase, migrated: str) -> Iterator[AtTheGate]:
    """On a catalogue without any account."""
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        yield AtTheGate(catalogue)
        catalogue.close()


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "LOCALHOST:3000", "localhost"])
def test_the_names_of_this_machine_pass(at_the_gate: AtTheGate, host: str) -> None:
    with at_the_gate() as client:
        assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3000", "localhost:4000", "localhost.evil.example:3000", "10.1.2.3:3000", ""]
)
def test_another_host_is_refused(at_the_gate: AtTheGate, host: str) -> None:
    with at_the_gate() as client:
        refused = client.get("/", headers={"Host": host})
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "application/problem+json"


def test_a_request_has_one_host(at_the_gate: AtTheGate) -> None:
    with at_the_gate() as client:
        hosts = [("Host", "localhost:3000"), ("Host", "localhost:3000")]
        assert client.get("/", headers=hosts).status_code == 403
        assert client.get("/", headers=hosts[:1]).status_code == 200


def test_a_host_that_is_listed_passes(at_the_gate: AtTheGate) -> None:
    with at_the_gate(DUETIME_ALLOWED_HOSTS="jobs.example, other.example:8443") as client:
        for host, status in {
            "jobs.example": 200,
            "jobs.example:443": 200,
            "other.example:8443": 200,
            "x.example": 403,
        }.items():
            assert client.get("/", headers={"Host": host}).status_code == status


def test_an_address_of_the_machine_passes_where_others_reach_it(at_the_gate: AtTheGate) -> None:
    with at_the_gate("0.0.0.0", DUETIME_PASSWORD=PASSWORD) as client:  # noqa: S104
        headers = {"Host": "192.168.1.5:3000", "Authorization": f"Bearer {PASSWORD}"}
        assert client.get("/", headers=headers).status_code == 200
        assert client.get("/", headers={**headers, "Host": "evil.example:3000"}).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:4000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_a_change_comes_from_our_own_pages_or_from_no_page(
    at_the_gate: AtTheGate, headers: Mapping[str, str], status: int
) -> None:
    with at_the_gate() as client:
        assert client.post("/", headers=headers).status_code == status


def test_a_link_in_a_mail_leads_here(at_the_gate: AtTheGate) -> None:
    with at_the_gate() as client:
        assert client.get("/tasks", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Origin": "http://localhost:3000"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"User-Agent": "Mozilla/5.0"}, False),
        ({"Host": "evil.example:3000"}, False),
    ],
)
def test_a_websocket_is_looked_at_like_a_change(at_the_gate: AtTheGate, headers: dict[str, str], passes: bool) -> None:
    with at_the_gate() as client:
        if passes:
            with client.websocket_connect("/", headers={**HERE, **headers}):
                return
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/", headers={**HERE, **headers}):
            pass


def test_nobody_can_say_who_they_are_by_a_header(at_the_gate: AtTheGate) -> None:
    with at_the_gate() as client:
        answer = client.get("/", headers={"X-Forwarded-User": "admin"})
        assert answer.text == "nobody"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()}


def test_a_password_is_asked_for(at_the_gate: AtTheGate) -> None:
    with at_the_gate(DUETIME_PASSWORD=PASSWORD) as client:
        asked = client.get("/")
        assert (asked.status_code, asked.headers["WWW-Authenticate"]) == (401, 'Bearer realm="Duetime"')
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/", headers=HERE):
            pass
        assert client.get("/", headers={"Authorization": f"Bearer {PASSWORD}x"}).status_code == 401
        assert client.get("/", headers={"Authorization": f"Bearer {PASSWORD}"}).status_code == 200
        assert client.get("/", headers=basic(PASSWORD)).status_code == 200
        assert client.get("/").status_code == 401


def test_a_person_is_led_to_where_they_sign_in_and_on_to_where_they_wanted(at_the_gate: AtTheGate) -> None:
    with at_the_gate(DUETIME_PASSWORD=PASSWORD) as client:
        led = client.get("/tasks?q=a b&kind=http", headers={"Accept": "text/html"}, follow_redirects=False)
        assert (led.status_code, led.headers["Location"]) == (303, "/sign-in?next=%2Ftasks%3Fq%3Da%2520b%26kind%3Dhttp")


@pytest.mark.parametrize("cookie", ["duetime_3000=9999999999.00", "duetime_3000=x", "duetime_3000=", "=;;\x7f"])
def test_a_cookie_that_we_did_not_give_opens_nothing(at_the_gate: AtTheGate, cookie: str) -> None:
    with at_the_gate(DUETIME_PASSWORD=PASSWORD) as client:
        assert client.get("/", headers={"Cookie": cookie}).status_code == 401


def test_health_is_told_without_a_password(at_the_gate: AtTheGate) -> None:
    with at_the_gate(DUETIME_PASSWORD=PASSWORD) as client:
        assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/api/tasks")] == [200, 200, 401]


def test_wrong_passwords_are_counted_and_the_right_one_waits_with_them(at_the_gate: AtTheGate) -> None:
    with at_the_gate(DUETIME_PASSWORD=PASSWORD) as client:
        statuses = [client.get("/", headers=basic(f"wrong {n}")).status_code for n in range(11)]
        assert statuses == [401] * 10 + [429]
        assert client.get("/", headers=basic(PASSWORD)).status_code == 429


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic !", "Basic YQ==", "Basic /w==", "Digest x", f"Basic {PASSWORD}", "Bearer", "Bearer \xe9", "?"],
)
def test_no_other_credentials_open_the_gate(at_the_gate: AtTheGate, authorization: str) -> None:
    with at_the_gate(DUETIME_PASSWORD=PASSWORD) as client:
        answer = client.get("/", headers={"Authorization": authorization.encode("latin-1")})
        assert answer.status_code == 401


def test_a_password_may_have_any_letters(at_the_gate: AtTheGate) -> None:
    password = "Grüße aus Köln, 日本"
    with at_the_gate(DUETIME_PASSWORD=password) as client:
        assert client.get("/", headers={"Authorization": f"Bearer {password}".encode()}).status_code == 200
        assert client.get("/", headers=basic(password)).status_code == 200


@pytest.mark.parametrize("names", ["https://x.example", "*", "x y", "x.example:port"])
def test_an_allowed_host_that_is_none_is_told_at_the_start(names: str) -> None:
    with pytest.raises(ValueError, match="DUETIME_ALLOWED_HOSTS"):
        GateSettings.from_environment("127.0.0.1", 3000, {"DUETIME_ALLOWED_HOSTS": names})


def test_an_answer_keeps_the_policy_that_it_has_and_a_refusal_gets_a_strict_one(at_the_gate: AtTheGate) -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("", headers={"Content-Security-Policy": "mine"})(scope, receive, send)

    client = TestClient(gated(page, at_the_gate.catalogue, {}), base_url="http://localhost:3000")
    assert client.get("/").headers["Content-Security-Policy"] == "mine"
    refused = client.get("/", headers={"Host": "evil.example"})
    assert refused.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert refused.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("host", "environ", "safe"),
    [
        ("127.0.0.1", {}, True),
        ("localhost", {}, True),
        ("::1", {}, True),
        ("127.8.8.8", {}, True),
        ("0.0.0.0", {}, False),  # noqa: S104
        ("::", {}, False),
        ("192.168.1.5", {}, False),
        ("example.org", {}, False),
        ("0.0.0.0", {"DUETIME_PASSWORD": "short"}, False),  # noqa: S104
        ("127.0.0.1", {"DUETIME_PASSWORD": "short"}, False),
        ("0.0.0.0", {"DUETIME_PASSWORD": PASSWORD}, True),  # noqa: S104
        ("0.0.0.0", {"DUETIME_PUBLISHED_ON": "127.0.0.1"}, True),  # noqa: S104
        ("0.0.0.0", {"DUETIME_PUBLISHED_ON": "0.0.0.0"}, False),  # noqa: S104
    ],
)
def test_an_address_that_others_reach_needs_a_password(host: str, environ: dict[str, str], safe: bool) -> None:
    if safe:
        check_binding(host, environ, has_way_in=False)
        return
    with pytest.raises(UnsafeBinding, match="DUETIME_PASSWORD"):
        check_binding(host, environ, has_way_in=False)


def test_an_admin_or_a_provider_does_as_well_as_a_password() -> None:
    check_binding("0.0.0.0", {}, has_way_in=True)  # noqa: S104

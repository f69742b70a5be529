"""Signing in and out, as a browser and as programs do it, through the real gate."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from cli.doors import invitation
from dashboard.doorman import LOOK_SECONDS, Doorman
from dashboard.live import Hub
from dashboard.sign_in import wanted_path
from db import accounts, keys
from db.access import Role, Visitor
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from tests.doors import house
from tests.waiting import wait_until

PASSWORD = "correct horse battery"
BASE = "http://localhost:3000"
PAGE = {"Accept": "text/html"}


@pytest.fixture
def hub(catalogue: Catalogue) -> Iterator[Hub]:
    """It hears of every change."""
    hub = Hub(catalogue.url)
    hub.start()
    wait_until(lambda: hub.connected, "the hub listens")
    yield hub
    hub.stop()


@pytest.fixture
def browser(catalogue: Catalogue, hub: Hub) -> Iterator[TestClient]:
    """On a system with two accounts."""
    add(catalogue, "ada", Role.ADMIN)
    add(catalogue, "ben", Role.VIEWER)
    with TestClient(house(catalogue, {}, hub=hub), base_url=BASE) as client:
        yield client


def add(catalogue: Catalogue, name: str, role: Role) -> None:
    with catalogue.transaction() as session:
        accounts.add(session, name, role=role, password=PASSWORD, actor="root", now=datetime.now(UTC))


def sign_in(browser: TestClient, name: str = "ada", password: str = PASSWORD, **more: str) -> int:
    sent = {"name": name, "password": password, "next": "/today", **more}
    return int(browser.post("/sign-in", data=sent, follow_redirects=False).status_code)


def listening(browser: TestClient) -> Any:
    """The socket of an open page."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return browser.websocket_connect("/live", headers={"Host": "localhost:3000", "Cookie": cookie})


def test_whoever_is_alone_here_need_not_say_who_they_are(catalogue: Catalogue) -> None:
    with TestClient(house(catalogue, {}), base_url=BASE) as client:
        assert client.get("/today").text == "Good day, "
        assert client.get("/api/me").json() == {"name": "", "role": "admin", "tags": None}
        assert client.get("/sign-in?next=/today", follow_redirects=False).headers["Location"] == "/today"


def test_a_person_signs_in_and_out(browser: TestClient) -> None:
    led = browser.get("/today", headers=PAGE)
    assert led.url.path == "/sign-in"
    assert '<input type="hidden" name="next" value="/today">' in led.text
    answer = browser.post("/sign-in", data={"name": "Ada", "password": PASSWORD, "next": "/today"})
    assert answer.text == "Good day, ada"
    cookie = answer.history[0].headers["Set-Cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert browser.get("/api/me").json()["role"] == "admin"
    assert browser.get("/sign-out").url.path == "/sign-in"
    assert browser.get("/api/me").status_code == 401


def test_the_cookie_is_secure_where_the_dashboard_is_reached_by_https(catalogue: Catalogue) -> None:
    add(catalogue, "ada", Role.ADMIN)
    environ = {"DUETIME_PUBLIC_URL": "https://jobs.example"}
    with TestClient(house(catalogue, environ), base_url="http://jobs.example") as client:
        sent = {"name": "ada", "password": PASSWORD}
        assert "Secure" in client.post("/sign-in", data=sent, follow_redirects=False).headers["Set-Cookie"].split("; ")


def test_a_token_that_was_there_before_is_not_the_one_that_comes_in(browser: TestClient) -> None:
    browser.cookies.set("duetime_3000", "planted")
    assert sign_in(browser) == 303
    assert browser.cookies.get("duetime_3000", domain="localhost.local") != "planted"
    assert browser.get("/api/me", headers={"Cookie": "duetime_3000=planted"}).status_code == 401


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", f"{PASSWORD}!"), ("nobody", PASSWORD), ("", ""), ("ada\0", PASSWORD), ("x" * 101, PASSWORD), ("ada", "")],
)
def test_what_does_not_belong_together_does_not_come_in(browser: TestClient, name: str, password: str) -> None:
    assert sign_in(browser, name, password) == 401
    assert browser.get("/api/me").status_code == 401


def test_attempts_are_counted_by_address(browser: TestClient) -> None:
    assert [sign_in(browser, f"ada{n}", "wrong") for n in range(11)] == [401] * 10 + [429]
    assert sign_in(browser) == 429


def test_attempts_are_counted_by_name_wherever_they_come_from(catalogue: Catalogue) -> None:
    add(catalogue, "ada", Role.ADMIN)
    gate = house(catalogue, {})

    def attempt(number: int, password: str) -> int:
        client = TestClient(gate, base_url=BASE, client=(f"10.0.0.{number}", 1))
        sent = {"name": "ada", "password": password}
        return int(client.post("/sign-in", data=sent, follow_redirects=False).status_code)

    assert [attempt(number, "wrong") for number in range(31)] == [401] * 30 + [429]
    assert attempt(99, PASSWORD) == 429


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/tasks?q=a", "/tasks?q=a"),
        ("", "/today"),
        ("//evil.example", "/today"),
        ("/\\evil.example", "/today"),
        ("https://evil.example", "/today"),
        ("/sign-in?next=/x", "/today"),
        ("/a\nb", "/today"),
        ("javascript:alert(1)", "/today"),
    ],
)
def test_signing_in_leads_to_a_page_of_ours(asked: str, path: str) -> None:
    assert wanted_path(asked) == path


def test_what_is_told_is_shown_as_it_is(browser: TestClient) -> None:
    shown = browser.get("/sign-in", params={"next": '/"><script>alert(1)</script>'})
    assert "<script>" not in shown.text
    assert "script-src" not in shown.headers["Content-Security-Policy"]
    refused = browser.post("/sign-in", data={"name": "<b>ada", "password": "x"})
    assert "&lt;b&gt;ada" in refused.text


def test_a_form_of_a_foreign_page_signs_nobody_in_or_out(browser: TestClient) -> None:
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    sent = {"name": "ada", "password": PASSWORD}
    assert browser.post("/sign-in", data=sent, headers=foreign).status_code == 403
    sign_in(browser)
    asked = browser.get("/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
    assert "<button>Sign out</button>" in asked.text
    assert browser.get("/api/me").status_code == 200


def test_signing_out_ends_the_websocket(browser: TestClient) -> None:
    sign_in(browser)
    with listening(browser) as socket:
        socket.send_json({"topics": ["tasks"]})
        assert socket.receive_json() == {"connected": True}
        browser.get("/sign-out")
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_json()
        assert ended.value.code == 1008


def test_who_is_disabled_is_out_at_once(browser: TestClient, catalogue: Catalogue) -> None:
    sign_in(browser, "ben")
    with listening(browser) as socket:
        socket.send_json({"topics": ["tasks"]})
        assert socket.receive_json() == {"connected": True}
        with catalogue.transaction() as session:
            ben = accounts.by_name(session, "ben")
            change = {"role": Role.VIEWER, "tags": None, "disabled": True, "actor": "ada", "now": datetime.now(UTC)}
            accounts.change(session, ben.id, **change)  # type: ignore[arg-type]
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()
    assert browser.get("/api/me").status_code == 401


def test_with_the_first_account_everybody_has_to_sign_in(
    catalogue: Catalogue, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUETIME_PREFECT_AUTH_FILE", "/my data/prefect-auth")
    token = invitation(catalogue.url)
    with (
        TestClient(house(catalogue, {}, hub=hub), base_url=BASE) as client,
        TestClient(house(catalogue, {}, hub=hub), base_url=BASE) as other,
    ):
        assert other.get("/api/me").status_code == 200
        form = unescape(client.get("/sign-in/first", params={"link": token}).text)
        assert "The first account" in form
        assert """export PREFECT_API_AUTH_STRING="$(cat '/my data/prefect-auth')\"""" in form
        sent = {"link": token, "name": "ada", "password": "short"}
        assert client.post("/sign-in/first", data=sent).status_code == 422
        made = client.post("/sign-in/first", data={**sent, "password": PASSWORD})
        assert made.text == "Good day, ada"
        wait_until(lambda: other.get("/api/me").status_code == 401, "the other one has to sign in")
        assert client.get("/sign-in/first", params={"link": token}).status_code == 410


def test_the_installations_password_goes_with_any_name(catalogue: Catalogue) -> None:
    with TestClient(house(catalogue, {"DUETIME_PASSWORD": PASSWORD}), base_url=BASE) as client:
        assert client.get("/api/me").status_code == 401
        assert sign_in(client, "whoever") == 303
        assert client.get("/api/me").json() == {"name": "whoever", "role": "admin", "tags": None}


def test_a_program_comes_in_with_its_key_alone(catalogue: Catalogue) -> None:
    now = datetime.now(UTC)
    with catalogue.transaction() as session:
        ada = accounts.add(session, "ada", role=Role.ADMIN, password=PASSWORD, actor="root", now=now)
        given = {"maker": accounts.visitor(ada), "actor": "root", "now": now}
        _, secret = keys.make(session, "deploy", role=Role.OPERATOR, **given)  # type: ignore[arg-type]
        soon = {"expires_at": now - timedelta(seconds=1), **given}
        _, over = keys.make(session, "over", role=Role.OPERATOR, **soon)  # type: ignore[arg-type]
    with TestClient(house(catalogue, {}), base_url=BASE) as client:
        assert client.get("/api/me", headers={"Authorization": f"Bearer {secret}"}).json()["name"] == "key:deploy"
        for wrong in (over, f"{secret}x", secret[:-1], "duetime_", "x"):
            assert client.get("/api/me", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
        assert client.get("/api/me", auth=("ada", PASSWORD)).json()["name"] == "ada"
        assert client.get("/api/me", auth=("ada", "wrong")).status_code == 401


class Fragile(Catalogue):
    """A fake outage: it answers as PostgreSQL does until it is `away`."""

    away = False

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        if self.away:
            raise CatalogueUnavailable
        with super().transaction() as session:
            yield session


def test_whoever_is_known_stays_while_postgresql_is_away(catalogue: Catalogue) -> None:
    add(catalogue, "ada", Role.ADMIN)
    fragile, present = Fragile(catalogue.url), [datetime.now(UTC).timestamp()]
    doorman = Doorman(fragile, Hub(catalogue.url), clock=lambda: present[0])
    token = doorman.sign_in("ada", PASSWORD, "10.0.0.1")
    cookie = f"duetime={token}"
    known = doorman.check(cookie, "", "10.0.0.1")
    assert isinstance(known, Visitor)
    fragile.away = True
    present[0] += LOOK_SECONDS + 1
    assert doorman.recall(cookie, "") is None
    assert doorman.check(cookie, "", "10.0.0.1") == known
    with pytest.raises(CatalogueUnavailable):
        doorman.check("duetime=unknown", "", "10.0.0.1")
    with pytest.raises(CatalogueUnavailable):
        doorman.sign_in("ada", PASSWORD, "10.0.0.1")
    fragile.close()


def test_a_stranger_is_told_that_postgresql_is_away(catalogue: Catalogue) -> None:
    away = Catalogue(catalogue.url.replace(catalogue.url.rpartition("@")[2], "127.0.0.1:9/none"))
    with TestClient(house(away, {}), base_url=BASE) as client:
        refused = client.get("/today")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert client.post("/sign-in", data={"name": "ada", "password": PASSWORD}).status_code == 503
    away.close()

"""Signing in at a real OpenID provider, a process of its own on this machine."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from dashboard.live import Hub
from dashboard.provider import Provider, account_of
from db import accounts, keys, sign_ins
from db.access import Role
from db.engine import Catalogue
from db.errors import LastAdmin
from tests.conftest import FreshDatabase
from tests.doors import house
from tests.system import free_port
from tests.waiting import wait_until

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
PEOPLE: dict[str, dict[str, object]] = {
    "1": {"preferred_username": "Ada", "email": "ada@example.org", "email_verified": True},
    "2": {"preferred_username": "Ben", "email": "ben@example.org", "email_verified": True, "groups": ["x", "operator"]},
    "3": {"preferred_username": "Eve", "email": "ada@example.org", "email_verified": False},
    "4": {"preferred_username": "ada", "email": "other@example.org"},
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    port = free_port()
    people = [word for sub, claims in PEOPLE.items() for word in ("--user-claims", json.dumps({"sub": sub, **claims}))]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), *people]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), "the provider answers", seconds=30)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/.well-known/openid-configuration").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def provider(issuer: str) -> Provider:
    environ = {
        "DUETIME_OIDC_ISSUER": issuer,
        "DUETIME_OIDC_CLIENT_ID": "duetime",
        "DUETIME_OIDC_CLIENT_SECRET": "secret",
        "DUETIME_OIDC_ADMINS": "ada@example.org",
        "DUETIME_OIDC_ROLE_CLAIM": "groups",
    }
    found = Provider.from_environment(environ)
    assert found is not None
    return found


@pytest.fixture
def browser(catalogue: Catalogue, provider: Provider) -> Iterator[TestClient]:
    with TestClient(house(catalogue, {}, provider=provider), base_url="http://localhost:3000") as client:
        yield client


@pytest.fixture(scope="module")
def shared_catalogue(fresh_database: FreshDatabase, migrated: str) -> Iterator[Catalogue]:
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        yield catalogue
        catalogue.close()


@pytest.fixture
def session(shared_catalogue: Catalogue) -> Iterator[Session]:
    """One transaction, which is rolled back."""
    with shared_catalogue.engine.connect() as connection:
        transaction = connection.begin()
        with Session(connection, expire_on_commit=False) as session:
            yield session
        transaction.rollback()


def sign_in(browser: TestClient, subject: str) -> httpx.Response:
    """As a person does it in a browser: to the provider, a click there, and back."""
    there = browser.get("/sign-in/provider/?next=/today", follow_redirects=False)
    assert there.status_code == 302, there.text
    back = httpx.post(there.headers["Location"], data={"sub": subject}, follow_redirects=False)
    assert back.status_code == 302, back.text
    found: httpx.Response = browser.get(back.headers["Location"])
    return found


def test_the_page_leads_there(browser: TestClient, issuer: str) -> None:
    shown = browser.get("/today", headers={"Accept": "text/html"})
    assert "Sign in with your organisation" in shown.text
    there = browser.get("/sign-in/provider?next=/today", follow_redirects=False)
    there = browser.get(there.headers["Location"], follow_redirects=False)
    assert there.headers["Location"].startswith(issuer)
    for word in ("code_challenge=", "code_challenge_method=S256", "state=", "nonce="):
        assert word in there.headers["Location"]


def test_whoever_comes_for_the_first_time_gets_an_account(browser: TestClient, catalogue: Catalogue) -> None:
    assert sign_in(browser, "1").text == "Good day, Ada"
    assert browser.get("/api/me").json()["role"] == "admin"
    browser.get("/sign-out")
    assert sign_in(browser, "1").text == "Good day, Ada"
    with catalogue.transaction() as session:
        assert [(one.name, one.role) for one in accounts.list_accounts(session)] == [("Ada", "admin")]


def test_a_claim_says_the_role_at_every_sign_in(browser: TestClient, catalogue: Catalogue) -> None:
    sign_in(browser, "1")
    sign_in(browser, "2")
    assert browser.get("/api/me").json() == {"name": "Ben", "role": "operator", "tags": None}
    with catalogue.transaction() as session:
        ben = accounts.by_name(session, "ben")
        change = {"tags": None, "disabled": False, "actor": "ada", "now": datetime.now(UTC)}
        accounts.change(session, ben.id, role=Role.EDITOR, **change)  # type: ignore[arg-type]
    sign_in(browser, "2")
    assert browser.get("/api/me").json()["role"] == "operator"


def test_a_mail_address_that_is_not_verified_makes_no_admin(browser: TestClient) -> None:
    assert sign_in(browser, "3").text == "Good day, Eve"
    assert browser.get("/api/me").json()["role"] == "viewer"


def test_nobody_becomes_somebody_else_by_having_their_name(browser: TestClient, catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        given = {"password": "correct horse battery", "actor": "root", "now": datetime.now(UTC)}
        accounts.add(session, "Ada", role=Role.ADMIN, **given)  # type: ignore[arg-type]
    assert sign_in(browser, "4").text.startswith("Good day, ada ")
    assert browser.get("/api/me").json()["role"] == "viewer"


def test_who_is_disabled_here_does_not_come_in(browser: TestClient, catalogue: Catalogue) -> None:
    sign_in(browser, "1")
    sign_in(browser, "2")
    browser.get("/sign-out")
    with catalogue.transaction() as session:
        ben = accounts.by_name(session, "ben")
        change = {"role": Role.VIEWER, "tags": None, "disabled": True, "actor": "ada", "now": datetime.now(UTC)}
        accounts.change(session, ben.id, **change)  # type: ignore[arg-type]
    assert sign_in(browser, "2").status_code == 403
    assert browser.get("/api/me").status_code == 401


def test_a_way_back_that_nobody_went_is_refused(browser: TestClient) -> None:
    answer = browser.get("/sign-in/provider/back?code=x&state=y")
    assert (answer.status_code, "reference" in answer.text or "under" in answer.text) == (502, True)
    there = browser.get("/sign-in/provider/", follow_redirects=False)
    back = httpx.post(there.headers["Location"], data={"sub": "1"}, follow_redirects=False)
    browser.cookies.clear()  # another browser than the one that went
    assert browser.get(back.headers["Location"]).status_code == 502
    assert browser.get("/api/me").status_code == 401


def test_what_is_missing_is_said_at_the_start() -> None:
    with pytest.raises(ValueError, match="DUETIME_OIDC_CLIENT_ID"):
        Provider.from_environment({"DUETIME_OIDC_ISSUER": "https://id.example"})
    assert Provider.from_environment({}) is None


def test_a_provider_that_is_away_is_said_so(catalogue: Catalogue) -> None:
    away = Provider("http://127.0.0.1:9", "duetime", "secret")
    with TestClient(house(catalogue, {}, provider=away), base_url="http://localhost:3000") as client:
        answer = client.get("/sign-in/provider/")
        assert (answer.status_code, "Try again" in answer.text) == (502, True)


GONE: list[dict[str, object]] = [
    {},
    {"groups": None},
    {"groups": []},
    {"groups": ["x"]},
    {"groups": {"admin": True}},
    {"groups": [["admin"], {"admin": "admin"}, None]},
    {"groups": "admin operator"},
    {"groups": True},
    {"groups": {"groups": ["admin"]}},
    {"roles": ["admin"]},
]


@pytest.mark.parametrize("claims", GONE)
def test_a_role_that_the_provider_does_not_say_any_more_is_gone(
    session: Session, provider: Provider, claims: dict[str, object]
) -> None:
    who = {"iss": "https://id.example", "sub": "7", "preferred_username": "Kim"}
    first = account_of(session, provider, who | {"groups": ["admin"]}, now=NOW)
    assert first is not None
    token = sign_ins.begin(session, first, address="", now=NOW)
    made = keys.make(session, "script", role=Role.ADMIN, maker=accounts.visitor(first), actor="Kim", now=NOW)
    again = account_of(session, provider, who | claims, now=NOW)
    assert again is not None
    assert (again.id, again.role) == (first.id, "viewer")  # also where nobody else is an admin
    for known in (sign_ins.find(session, token, password="", now=NOW), keys.find(session, made[1], now=NOW)):
        assert known is not None
        assert known.role is Role.VIEWER


def test_what_is_no_claim_any_more_says_no_role(session: Session, provider: Provider) -> None:
    who = {"iss": "https://id.example", "sub": "7", "preferred_username": "Kim", "groups": ["editor"]}
    account_of(session, provider, who, now=NOW)
    found = account_of(session, replace(provider, role_claim=""), who, now=NOW)
    assert found is not None
    assert found.role == "viewer"


def test_a_role_that_somebody_gave_here_stays_where_the_provider_says_none(
    session: Session, provider: Provider
) -> None:
    who = {"iss": "https://id.example", "sub": "7", "preferred_username": "Kim"}
    kim = account_of(session, provider, who | {"groups": ["viewer"]}, now=NOW)
    assert kim is not None
    given = {"tags": ["ops"], "disabled": False, "actor": "ada", "now": NOW}
    with pytest.raises(LastAdmin):
        accounts.change(session, kim.id, role=Role.EDITOR, **given)  # type: ignore[arg-type]
    accounts.add(session, "Ada", role=Role.ADMIN, password="correct horse battery", actor="root", now=NOW)
    accounts.change(session, kim.id, role=Role.EDITOR, **given)  # type: ignore[arg-type]
    assert account_of(session, provider, who, now=NOW) is kim
    assert (kim.role, kim.tags) == ("editor", ["ops"])
    account_of(session, provider, who | {"groups": ["admin"]}, now=NOW)
    assert (kim.role, kim.tags) == ("editor", ["ops"])  # an admin cannot be limited to tags, and the limit stays
    account_of(session, provider, who | {"groups": ["operator"]}, now=NOW)
    account_of(session, provider, who, now=NOW)
    assert kim.role == "viewer"


def test_whose_group_is_taken_away_is_no_admin_in_any_open_browser(
    catalogue: Catalogue, provider: Provider, issuer: str
) -> None:
    hub = Hub(catalogue.url)
    hub.start()
    claims: dict[str, object] = {"sub": "5", "preferred_username": "Dan", "email": "dan@example.org"}
    app = house(catalogue, {}, provider=provider, hub=hub)
    with TestClient(app, base_url="http://localhost:3000") as one, TestClient(app, base_url=one.base_url) as other:
        wait_until(lambda: hub.connected, "hints to arrive")
        httpx.put(f"{issuer}/users/5", json=claims | {"groups": ["admin"]}).raise_for_status()
        sign_in(one, "5")
        assert one.get("/api/accounts").status_code == 200
        httpx.put(f"{issuer}/users/5", json=claims).raise_for_status()
        sign_in(other, "5")
        assert other.get("/api/accounts").status_code == 403
        wait_until(lambda: one.get("/api/accounts").status_code == 403, "the other browser to follow")
    hub.stop()

"""Accounts and keys over REST."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from starlette.testclient import TestClient

from db.engine import Catalogue
from db.tables import AuditEntry

PASSWORD = "correct horse battery"


def add(api: TestClient, name: str = "ada", role: str = "admin", **more: object) -> dict[str, object]:
    answer = api.post("/accounts", json={"name": name, "role": role, "password": PASSWORD, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_an_account_from_its_beginning_to_its_end(api: TestClient) -> None:
    add(api)
    ben = add(api, "Ben", "editor", tags=["web", "ops"])
    assert ben["tags"] == ["ops", "web"]
    assert PASSWORD not in str(api.get("/accounts").json())
    changed = api.put(f"/accounts/{ben['id']}", json={"role": "viewer", "disabled": True})
    assert (changed.json()["role"], changed.json()["tags"], changed.json()["disabled"]) == ("viewer", None, True)
    assert api.put(f"/accounts/{ben['id']}/password", json={"password": f"{PASSWORD}!"}).status_code == 204
    assert api.delete(f"/accounts/{ben['id']}").status_code == 204
    assert api.delete(f"/accounts/{ben['id']}").status_code == 404
    assert [one["name"] for one in api.get("/accounts").json()["items"]] == ["ada"]


def test_what_cannot_be_is_refused_in_words(api: TestClient) -> None:
    ada = add(api)
    for body, field in (
        ({"name": "x", "role": "boss", "password": PASSWORD}, "role"),
        ({"name": "", "role": "viewer", "password": PASSWORD}, "name"),
        ({"name": "x", "role": "viewer", "password": "short"}, "password"),
        ({"name": "x", "role": "admin", "tags": ["ops"], "password": PASSWORD}, "tags"),
        ({"name": "x", "role": "viewer", "password": PASSWORD, "subject": "me"}, "subject"),
    ):
        refused = api.post("/accounts", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field), refused.text
        assert PASSWORD not in refused.text
    assert api.post("/accounts", json={"name": "ADA", "role": "viewer", "password": PASSWORD}).status_code == 409
    assert api.put(f"/accounts/{ada['id']}", json={"role": "viewer"}).json()["type"].endswith("last-admin")
    assert api.put("/me/password", json={"current": "x", "password": PASSWORD}).status_code == 422


def test_a_key_is_told_once(api: TestClient) -> None:
    until = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    made = api.post("/keys", json={"name": "deploy", "role": "editor", "tags": ["ops"], "expires_at": until}).json()
    assert made["key"].startswith(made["hint"])
    listed = api.get("/keys").json()["items"]
    assert [(one["name"], one["role"], one["tags"], one["used_at"]) for one in listed] == [
        ("deploy", "editor", ["ops"], None)
    ]
    assert made["key"] not in str(listed)
    assert api.delete(f"/keys/{made['id']}").status_code == 204
    assert api.delete(f"/keys/{made['id']}").status_code == 404
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert api.post("/keys", json={"name": "late", "role": "viewer", "expires_at": past}).status_code == 422


def test_who_did_it_is_noted(api: TestClient, catalogue: Catalogue) -> None:
    key = api.post("/keys", json={"name": "deploy", "role": "editor"}).json()
    add(api)
    api.delete(f"/keys/{key['id']}")
    with catalogue.transaction() as session:
        found = session.execute(select(AuditEntry.change, AuditEntry.actor).order_by(AuditEntry.id)).all()
    changes = ("key.made", "account.added", "key.given", "key.revoked")
    assert [tuple(one) for one in found] == [(change, "api") for change in changes]

"""Every route for every role, generated from the OpenAPI document: a route without a rule fails here."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from dashboard.api.access import ANYBODY, LEAST_ROLE
from dashboard.api.app import create_api
from dashboard.live import Hub
from db import accounts, keys, tasks
from db.access import Role
from db.engine import Catalogue
from db.specs import parse_task
from tests.api.conftest import document
from tests.conftest import FreshDatabase
from tests.doors import house

DOCUMENT = create_api(Catalogue("postgresql://nobody@127.0.0.1:9/none"), Hub("postgresql:///none")).openapi()
OPERATIONS = [(method, path) for path, found in DOCUMENT["paths"].items() for method in found]
NOWHERE = {"types": "?"}
"""A listener who wants this is refused at once, and not kept."""


class Street:
    """The house with an account, and a key for each role."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        at = datetime.now(UTC)
        with catalogue.transaction() as session:
            given = {"role": Role.ADMIN, "password": "correct horse battery", "actor": "root", "now": at}
            ada = accounts.visitor(accounts.add(session, "ada", **given))  # type: ignore[arg-type]
            made = {role: keys.make(session, role, role=role, maker=ada, actor="root", now=at)[1] for role in Role}
            limited = {"role": Role.EDITOR, "tags": ["ops"], "maker": ada, "actor": "root", "now": at}
            _, self.limited = keys.make(session, "limited", **limited)  # type: ignore[arg-type]
        self.keys = made
        self.client = TestClient(house(catalogue, {}), base_url="http://localhost:3000", raise_server_exceptions=False)

    def ask(self, method: str, path: str, key: str | None, *, thing: str = "", body: Any = None) -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        where = "/api" + re.sub(r"\{\w+\}", thing or str(uuid4()), path)
        params = NOWHERE if path == "/events" else {}
        sent = {"json": body} if method in ("post", "put", "delete") and body is not None else {}
        return int(self.client.request(method, where, headers=headers, params=params, **sent).status_code)


@pytest.fixture(scope="module")
def street(fresh_database: FreshDatabase, migrated: str) -> Iterator[Street]:
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        yield Street(catalogue)
        catalogue.close()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_route_says_what_it_takes_and_asks_for_it(street: Street, method: str, path: str) -> None:
    least = DOCUMENT["paths"][path][method][LEAST_ROLE]
    if least == ANYBODY:
        assert street.ask(method, path, None) not in (401, 403)
        return
    assert street.ask(method, path, None) == 401
    for role in Role:
        status = street.ask(method, path, street.keys[role])
        assert (status == 403) == (role.rank < Role(least).rank), f"{role}: {status}"
        assert status != 401


def test_what_changes_something_takes_more_than_a_viewer() -> None:
    harmless = {"/schedules/preview", "/calendars/read-ics", "/me/password", "/keys", "/keys/{id}"}
    for method, path in OPERATIONS:
        least = DOCUMENT["paths"][path][method][LEAST_ROLE]
        if method != "get" and path not in harmless:
            assert least in ("operator", "editor", "admin"), f"{method} {path}"


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path in OPERATIONS if method != "get" and path.startswith("/tasks")]
)
def test_whoever_is_limited_to_tags_changes_no_other_task(street: Street, method: str, path: str) -> None:
    at = datetime.now(UTC)
    with street.catalogue.transaction() as session:
        mine, other = (
            str(tasks.create_task(session, parse_task(document(tags=[tag])), actor="ada", now=at))
            for tag in ("ops", "shop")
        )
    bodies: dict[str, Any] = {"post /tasks": document(tags=["shop"]), "put /tasks/{id}": document(tags=["ops"])}
    body = bodies.get(f"{method} {path}", {})
    assert street.ask(method, path, street.limited, thing=other, body=body) == 403
    if path != "/tasks":
        assert street.ask(method, path, street.limited, thing=mine, body=body) != 403
    if method == "put":
        assert street.ask(method, path, street.limited, thing=mine, body=document(tags=["shop"])) == 403


def test_whoever_is_limited_to_tags_cancels_no_other_run(street: Street) -> None:
    at = datetime.now(UTC)
    with street.catalogue.transaction() as session:
        other = tasks.create_task(session, parse_task(document(tags=["shop"])), actor="ada", now=at)
    key = {"Authorization": f"Bearer {street.keys[Role.ADMIN]}"}
    run = street.client.post(f"/api/tasks/{other}/run", headers=key).json()["id"]
    assert street.ask("post", "/runs/{id}/cancel", street.limited, thing=run) == 403
    assert street.ask("post", "/runs/{id}/cancel", street.keys[Role.OPERATOR], thing=run) == 200


def test_a_run_of_something_else_takes_an_editor(street: Street) -> None:
    at = datetime.now(UTC)
    with street.catalogue.transaction() as session:
        task = str(tasks.create_task(session, parse_task(document()), actor="ada", now=at))
    changed = {"action": {"command": "rm -r ."}}
    assert street.ask("post", "/tasks/{id}/run", street.keys[Role.OPERATOR], thing=task, body=changed) == 403
    assert street.ask("post", "/tasks/{id}/run", street.keys[Role.EDITOR], thing=task, body=changed) == 202


def test_nobody_makes_a_key_that_may_more_than_they_may(street: Street) -> None:
    for role, wanted in ((Role.VIEWER, "operator"), (Role.EDITOR, "admin")):
        body = {"name": "more", "role": wanted}
        assert street.ask("post", "/keys", street.keys[role], body=body) == 403
    assert street.ask("post", "/keys", street.keys[Role.EDITOR], body={"name": "same", "role": "editor"}) == 201

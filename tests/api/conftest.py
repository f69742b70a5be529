"""The API on a real catalogue, called in process. Every answer is compared with what the OpenAPI document promises."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from starlette.testclient import TestClient

from dashboard.api.app import create_api
from dashboard.live import Hub
from db.access import Visitor
from db.engine import Catalogue
from tests.conftest import FreshDatabase
from tests.doors import ANYBODY, let_in

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NAMES_OF_INSTANTS = re.compile(r"(.+_)?at|due_times")


@contextmanager
def opened(catalogue: Catalogue, visitor: Visitor = ANYBODY) -> Iterator[TestClient]:
    """A program that talks to the API. What breaks inside is answered as it is to everybody: with a 500."""
    app = create_api(catalogue, Hub(catalogue.url))
    with TestClient(let_in(app, visitor), raise_server_exceptions=False) as client:
        client.event_hooks = {"response": [_compare_with(app.openapi())]}
        yield client


@pytest.fixture
def api(catalogue: Catalogue) -> Iterator[TestClient]:
    """An API with nothing in it."""
    with opened(catalogue) as client:
        yield client


@pytest.fixture(scope="module")
def shared_api(fresh_database: FreshDatabase, migrated: str) -> Iterator[TestClient]:
    """One API for all tests of a module, for those that change nothing or only their own task."""
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        with opened(catalogue) as client:
            yield client
        catalogue.close()


def document(**changes: Any) -> dict[str, Any]:
    """A task that is fit to be sent."""
    return {
        "name": f"task {uuid4()}",
        "kind": "shell",
        "action": {"command": "true"},
        "schedule": {"kind": "cron", "cron": "0 2 * * *", "timezone": "Europe/Berlin"},
        **changes,
    }


def created(api: TestClient, **changes: Any) -> dict[str, Any]:
    """A task that was sent and taken."""
    answer = api.post("/tasks", json=document(**changes))
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


def _compare_with(described: dict[str, Any]) -> Callable[[httpx.Response], None]:
    paths = {re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): found for path, found in described["paths"].items()}

    def compare(answer: httpx.Response) -> None:
        answer.read()
        found: dict[str, Any] = next((o for path, o in paths.items() if path.fullmatch(answer.request.url.path)), {})
        operation = found.get(answer.request.method.lower())
        if operation is not None:
            _compare(answer, operation["responses"], described["components"])

    return compare


def _compare(answer: httpx.Response, promised: dict[str, Any], components: dict[str, Any]) -> None:
    status = str(answer.status_code)
    assert status in promised or f"{status[0]}XX" in promised, f"{status} is not described: {answer.text}"
    content = (promised.get(status) or promised[f"{status[0]}XX"]).get("content", {})
    if not content:
        assert not answer.content
        return
    media_type = answer.headers["content-type"]
    assert media_type in content, answer.text
    Draft202012Validator({**content[media_type]["schema"], "components": components}).validate(answer.json())
    for name, value in _leaves(answer.json()):
        assert not NAMES_OF_INSTANTS.fullmatch(name) or value is None or INSTANT.fullmatch(str(value)), (name, value)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value

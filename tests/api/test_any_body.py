"""Bodies that are made to take long: none of them keeps the event loop from serving the others."""

import json
import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from dashboard.api.app import create_api
from dashboard.api.bodies import MAX_BYTES
from dashboard.live import Hub
from db import loop_lag
from db.engine import Catalogue
from tests.conftest import FreshDatabase
from tests.doors import let_in

JSON = {"Content-Type": "application/json", "If-Match": "*"}
MANY = {f"member{number}": number for number in range(60_000)}
EVIL = {
    "many members, the last of them double": json.dumps(MANY)[:-1] + ', "member59999": 0}',
    "many members, the first of them double": '{"member0": 0, ' + json.dumps(MANY)[1:],
    "many members that nobody knows": json.dumps(MANY),
    "deep lists": "[" * MAX_BYTES,
    "deep objects": '{"a":' * (MAX_BYTES // 6),
    "nested as deep as can be read": '{"action":' + "[" * 900 + "]" * 900 + "}",
    "numbers": f"[{','.join(['0.1'] * (MAX_BYTES // 4 - 1))}]",
    "a number of a million digits": "1" * MAX_BYTES,
    "long numbers": f"[{','.join(['7' * 4300] * 240)}]",
    "escapes": '{"name": "' + "\\u0061" * (MAX_BYTES // 6 - 10) + '"}',
    "backslashes": '{"kind": "python", "action": {"kwargs": {"a": "' + "\\\\" * (MAX_BYTES // 2 - 100) + '"}}}',
    "wrong tags": json.dumps({"kind": "shell", "tags": [1] * 300_000}),
    "wrong variables": json.dumps({"kind": "shell", "action": {"command": "true", "env": MANY}}),
    "wrong entries": json.dumps({"name": "x", "entries": [{"kind": "weekly", "days": ["x"]}] * 25_000}),
    "a long cron": json.dumps({"schedule": {"kind": "cron", "cron": "0," * 500_000}}),
    "a long calendar": json.dumps(
        {"text": "BEGIN:VCALENDAR\n" + "BEGIN:VEVENT\nRRULE:FREQ=DAILY\nEND:VEVENT\n" * 20_000}
    ),
}
PATHS = ("/tasks", "/schedules/preview", "/calendars", "/calendars/read-ics")


@pytest.fixture(scope="module")
def api(fresh_database: FreshDatabase, migrated: str) -> Iterator[TestClient]:
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        app = let_in(create_api(catalogue, Hub(catalogue.url)))
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client
        catalogue.close()


@pytest.mark.parametrize("shape", EVIL)
def test_no_body_keeps_the_event_loop(api: TestClient, shape: str) -> None:
    body = EVIL[shape].encode()[:MAX_BYTES]
    for path in PATHS:
        with loop_lag.measured() as slow:
            answer = api.post(path, content=body, headers=JSON)
        assert answer.status_code in (200, 422), (path, answer.text[:200])
        assert len(answer.json().get("errors", ())) <= 100
        assert slow == [], path


def test_no_route_reads_a_body_in_the_event_loop(api: TestClient) -> None:
    operations = [
        (method, path)
        for path, methods in api.get("/openapi.json").json()["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation
    ]
    assert len(operations) > 20
    for method, path in operations:
        address = re.sub(r"\{\w+\}", str(uuid4()), path)
        with loop_lag.measured() as slow:
            answer = api.request(method, address, content=EVIL["many members that nobody knows"], headers=JSON)
        assert 400 <= answer.status_code < 500, (method, path, answer.text[:200])
        assert slow == [], (method, path)


def test_no_answer_is_made_in_the_event_loop(api: TestClient) -> None:
    with loop_lag.measured() as slow:
        for path in ("/openapi.json", "/docs", "/metrics", "/tasks?limit=500", "/runs?limit=500", "/readyz"):
            assert api.get(path).status_code in (200, 503)
    assert slow == []

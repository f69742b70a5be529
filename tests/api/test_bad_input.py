"""What clients send wrong: each field says so, nothing is half saved, and nothing makes a 500."""

import json
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from starlette.testclient import TestClient

from db.engine import Catalogue
from tests.api.conftest import created, document

NOBODY = UUID(int=0)
CRON = {"kind": "cron", "cron": "0 2 * * *"}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "   "}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"name": "two\nlines"}, "name"),
    ({"name": "nul\0"}, "name"),
    ({"name": 3}, "name"),
    ({"name": None}, "name"),
    ({"description": "x" * 5001}, "description"),
    ({"tags": ["x" * 101]}, "tags.0"),
    ({"tags": "ops"}, "tags"),
    ({"tags": [f"t{n}" for n in range(51)]}, "tags"),
    ({"kind": "rocket"}, "kind"),
    ({"kind": None}, "kind"),
    ({"action": {}}, "action.command"),
    ({"action": {"command": ""}}, "action.command"),
    ({"action": {"command": " \n"}}, "action.command"),
    ({"action": {"command": "x" * 65537}}, "action.command"),
    ({"action": {"command": "a\0b"}}, "action.command"),
    ({"action": {"command": "true", "env": {"1X": "y"}}}, "action.env"),
    ({"action": {"command": "true", "env": {"X": 1}}}, "action.env.X"),
    ({"action": {"command": "true", "success_exit_codes": [256]}}, "action.success_exit_codes.0"),
    ({"action": {"command": "true", "shell": "zsh"}}, "action.shell"),
    ({"kind": "http", "action": {"url": "ftp://x"}}, "action.url"),
    ({"kind": "http", "action": {"url": "http://x", "method": "BREW"}}, "action.method"),
    ({"kind": "http", "action": {"url": "http://x", "body": "a", "json": {}}}, "action"),
    ({"kind": "http", "action": {"url": "http://x", "expect_status": "9xx"}}, "action.expect_status"),
    ({"kind": "python", "action": {"callable": "no colon"}}, "action.callable"),
    ({"kind": "python", "action": {"callable": "a:b", "kwargs": []}}, "action.kwargs"),
    ({"kind": "flow", "action": {"entrypoint": ""}}, "action.entrypoint"),
    ({"schedule": {}}, "schedule.kind"),
    ({"schedule": {"kind": "sometimes"}}, "schedule.kind"),
    ({"schedule": {"kind": "cron"}}, "schedule.cron"),
    ({"schedule": CRON | {"cron": "61 * * * *"}}, "schedule.cron"),
    ({"schedule": CRON | {"cron": "* * *"}}, "schedule.cron"),
    ({"schedule": CRON | {"cron": "0 0 31 2 *"}}, "schedule.cron"),
    ({"schedule": CRON | {"cron": "@reboot"}}, "schedule.cron"),
    ({"schedule": CRON | {"cron": "H * * * *"}}, "schedule.cron"),
    ({"schedule": CRON | {"timezone": "Mars/Olympus"}}, "schedule.timezone"),
    ({"schedule": {"kind": "once", "at": "2001-01-01T00:00:00Z"}}, "schedule.at"),
    ({"schedule": {"kind": "once", "at": "2030-01-01T00:00:00"}}, "schedule.at"),
    ({"schedule": {"kind": "once", "at": "soon"}}, "schedule.at"),
    ({"ends_at": "2001-01-01T00:00:00Z"}, "ends_at"),
    ({"overlap": "maybe"}, "overlap"),
    ({"misfire": 1}, "misfire"),
    ({"retries": -1}, "retries"),
    ({"retries": "3"}, "retries"),
    ({"retries": 10**30}, "retries"),
    ({"retries": 1.5}, "retries"),
    ({"timeout_seconds": 0}, "timeout_seconds"),
    ({"max_lateness_seconds": -1}, "max_lateness_seconds"),
    ({"paused": "yes"}, "paused"),
    ({"unheard_of": 1}, "unheard_of"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG, ids=[f"{field}-{n}" for n, (_, field) in enumerate(WRONG)])
def test_a_field_that_is_wrong_is_named_and_nothing_is_saved(
    shared_api: TestClient, changes: dict[str, Any], field: str
) -> None:
    refused = shared_api.post("/tasks", json=document(**changes))
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    problem = refused.json()
    assert {"type", "title", "status", "detail", "errors"} <= set(problem)
    assert field in {error["field"] for error in problem["errors"]}, problem
    assert all(error["message"] for error in problem["errors"])
    assert shared_api.get("/tasks").json()["items"] == []


# Always the same, because it becomes the name of a test.
A_TASK = json.dumps(document(name="a task")).encode()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 422),
        (b"{", "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b"NaN", "application/json", 422),
        (b'{"name": "a", "name": "b"}', "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b'"\\ud800"', "application/json", 422),
        (b"null", "application/json", 422),
        (A_TASK, "text/plain", 415),
        (A_TASK, "", 415),
        (b"x" * 1_100_000, "application/json", 413),
    ],
)
def test_a_body_that_is_not_json_is_refused(
    shared_api: TestClient, body: bytes, content_type: str, status: int
) -> None:
    answer = shared_api.post("/tasks", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/tasks?limit=0", "limit"),
        ("/tasks?limit=501", "limit"),
        ("/tasks?limit=x", "limit"),
        ("/tasks?cursor=nonsense", "cursor"),
        ("/tasks?kind=rocket", "kind"),
        ("/tasks?state=odd", "state"),
        ("/runs?state=odd", "state"),
        ("/runs?from=yesterday", "from"),
        ("/runs?task_id=1", "task_id"),
        ("/runs?cursor=AAAA", "cursor"),
    ],
)
def test_a_query_that_is_wrong_is_named(shared_api: TestClient, path: str, field: str) -> None:
    refused = shared_api.get(path)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("path", ["/tasks/x", "/runs/x", f"/tasks/{NOBODY}", f"/runs/{NOBODY}/logs", "/nowhere"])
def test_what_is_not_there_is_not_found(shared_api: TestClient, path: str) -> None:
    refused = shared_api.get(path)
    assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")


def test_another_method_is_not_allowed(shared_api: TestClient) -> None:
    refused = shared_api.patch(f"/tasks/{NOBODY}", json={})
    assert (refused.status_code, "GET" in refused.headers["Allow"]) == (405, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({*document(), "tags", "starts_at", "retries", "timeout_seconds", "work_pool", "description", "paused"})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_no_value_of_any_field_breaks_anything(shared_api: TestClient, field: str, value: Any) -> None:
    body = json.dumps(document() | {field: value}).encode("utf-8", "surrogatepass")
    answer = shared_api.post("/tasks", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (201, 422), answer.text
    if answer.status_code == 201:
        shared_api.delete(f"/tasks/{answer.json()['id']}")


def test_while_postgresql_is_away_everything_says_so_and_comes_back(
    api: TestClient, catalogue: Catalogue, postgres_url: str
) -> None:
    task = created(api)
    name = catalogue.url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        away = api.get(f"/tasks/{task['id']}")
        assert (away.status_code, away.headers["content-type"]) == (503, "application/problem+json")
        assert int(away.headers["Retry-After"]) > 0
        assert api.get("/readyz").status_code == 503
        assert api.get("/healthz").status_code == 200
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))
    assert api.get(f"/tasks/{task['id']}").json() == task

"""Whatever a client sends, it is told what is wrong with it: nothing makes a 500."""

import json
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.api.conftest import created, document

NOBODY = UUID(int=0)
BODIES = [
    ("POST", "/tasks"),
    ("PUT", "/tasks/{id}"),
    ("POST", "/tasks/{id}/pause"),
    ("POST", "/tasks/{id}/resume"),
    ("POST", "/tasks/{id}/restore"),
    ("POST", "/tasks/{id}/rollback"),
    ("POST", f"/tasks/{NOBODY}/run"),
    ("POST", f"/runs/{NOBODY}/cancel"),
    ("POST", "/schedules/preview"),
]
QUERIES = [
    "/tasks?search={}",
    "/tasks?tag={}",
    "/tasks?kind={}",
    "/tasks?state={}",
    "/tasks?limit={}",
    "/tasks?cursor={}",
    "/runs?task_id={}",
    "/runs?from={}",
    "/runs?cursor={}",
    "/tasks/{id}/due-times?from={}",
    "/tasks/{id}/due-times?outcome={}",
    "/tasks/{id}/due-times?cursor={}",
    f"/runs/{NOBODY}/logs?after={{}}",
    "/runs/{}",
    "/tasks/{}/run",
    "/{}",
]
DEEP = "[" * 900 + "]" * 900
ODD = ["1e400", "9" * 4000, "9" * 5000, DEEP, '{"a":' * 300 + "1" + "}" * 300, '"\\u0000"', '"\\ud800"', "-0", "1E-400"]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    [*document(), "tags", "starts_at", "ends_at", "retries", "reason", "until", "missed", "count", "from", "at", "id"]
)
documents = (
    st.dictionaries(fields, anything, max_size=4)
    | st.builds(lambda more: document() | more, st.dictionaries(fields, anything, max_size=2))
    | anything
)
schedules = st.fixed_dictionaries(
    {"kind": st.sampled_from(["cron", "once", "manual"])},
    optional={"cron": st.text("0123456789*/,-#LW? MONJAN@", max_size=30), "timezone": st.text(), "at": st.text()},
)
quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def task_id(shared_api: TestClient) -> str:
    return str(created(shared_api)["id"])


def send(api: TestClient, method: str, path: str, body: str) -> int:
    headers = {"Content-Type": "application/json", "If-Match": "*"}
    answer = api.request(method, path, content=body.encode("utf-8", "surrogatepass"), headers=headers)
    return int(answer.status_code)


@quick
@given(place=st.sampled_from(BODIES), body=documents.map(json.dumps))
def test_no_document_breaks_anything(shared_api: TestClient, task_id: str, place: tuple[str, str], body: str) -> None:
    assert send(shared_api, place[0], place[1].format(id=task_id), body) < 500


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_no_odd_value_breaks_anything(shared_api: TestClient, task_id: str, body: str) -> None:
    for method, path in BODIES:
        assert 400 <= send(shared_api, method, path.format(id=task_id), body) < 500
    kwargs = json.dumps(document(kind="python", action={"callable": "a:b", "kwargs": {"x": "HERE"}}))
    assert send(shared_api, "POST", "/tasks", kwargs.replace('"HERE"', body)) in (201, 422)


@quick
@given(
    schedule=schedules, count=st.integers(0, 101), start=st.none() | st.datetimes().map(lambda at: f"{at.isoformat()}Z")
)
def test_no_schedule_breaks_a_preview(shared_api: TestClient, schedule: Any, count: int, start: str | None) -> None:
    body = json.dumps({"schedule": schedule, "count": count, "from": start})
    assert send(shared_api, "POST", "/schedules/preview", body) in (200, 422)


@quick
@given(path=st.sampled_from(QUERIES), value=st.text() | st.integers().map(str) | st.datetimes().map(str))
def test_no_query_breaks_anything(shared_api: TestClient, task_id: str, path: str, value: str) -> None:
    url = path.replace("{id}", task_id).format(quote(value.encode("utf-8", "surrogatepass"), safe=""))
    assert shared_api.get(url).status_code < 500


@quick
@given(
    name=st.sampled_from(["If-Match", "Idempotency-Key", "Content-Type"]),
    value=st.text(st.characters(max_codepoint=255)),
)
def test_no_header_breaks_anything(shared_api: TestClient, task_id: str, name: str, value: str) -> None:
    sent = {"If-Match": b"*", "Content-Type": b"application/json", name: value.encode("latin-1")}
    body = json.dumps(document())
    assert shared_api.put(f"/tasks/{task_id}", content=body, headers=sent).status_code < 500
    assert shared_api.post("/tasks", content=body, headers=sent).status_code < 500


@pytest.mark.parametrize("tag", ["", "x", '"1', '"1" "2"', "1.5", '"1",', ",", '"a" x', "W/", '""""'])
def test_an_if_match_that_is_no_list_of_tags_is_refused(shared_api: TestClient, task_id: str, tag: str) -> None:
    answer = shared_api.put(f"/tasks/{task_id}", json=document(), headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "If-Match")


@pytest.mark.parametrize("tag", ['"0"', '"another"', '"99999999999999999999"', '"999999999"', '"a", "b"'])
def test_a_tag_that_the_task_never_had_is_stale(shared_api: TestClient, tag: str) -> None:
    task = created(shared_api)
    answer = shared_api.put(f"/tasks/{task['id']}", json=document(), headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["current"]) == (412, task)
    assert shared_api.delete(f"/tasks/{task['id']}", headers={"If-Match": tag}).status_code == 412

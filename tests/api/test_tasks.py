"""Tasks over REST."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from dashboard.api.app import create_api
from dashboard.live import Hub
from db import tasks
from db.engine import Catalogue
from db.specs import parse_task
from tests.api.conftest import created, document
from tests.doors import gated


def test_a_task_is_created_and_found_where_the_answer_says(api: TestClient) -> None:
    answer = api.post("/tasks", json=document(name="nightly", tags=["ops"]))
    assert answer.status_code == 201
    task = answer.json()
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"/api/tasks/{task['id']}"
    assert (task["name"], task["version"], task["tags"]) == ("nightly", 1, ["ops"])
    assert task["next_due_at"].endswith("Z")
    assert api.get(f"/tasks/{task['id']}").json() == task


def test_what_is_not_said_has_the_defaults_of_the_contract(api: TestClient) -> None:
    task = created(api)
    defaults: dict[str, Any] = {
        "description": "",
        "tags": [],
        "starts_at": None,
        "ends_at": None,
        "overlap": "skip",
        "misfire": "latest",
        "max_lateness_seconds": None,
        "on_crash": "fail",
        "retries": 0,
        "retry_delay_seconds": 10,
        "retry_backoff": "constant",
        "timeout_seconds": 3600,
        "work_pool": "default",
        "paused": False,
    }
    assert {name: task[name] for name in defaults} == defaults
    assert task["action"] == {"command": "true", "env": {}, "cwd": None, "success_exit_codes": [0]}
    unknown = ("synced_version", "sync_error", "deployment_id", "paused_until", "pause_reason", "last_run")
    assert {task[name] for name in (*unknown, "deleted_at")} == {None}


def test_a_repeat_with_the_same_key_makes_one_task(api: TestClient) -> None:
    sent, headers = document(), {"Idempotency-Key": "k1"}
    answers = [api.post("/tasks", json=sent, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = api.post("/tasks", json=document(), headers=headers)
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


def test_two_repeats_at_once_make_one_task(api: TestClient) -> None:
    sent, answers = document(), []

    def send() -> None:
        answers.append(api.post("/tasks", json=sent, headers={"Idempotency-Key": "at once"}))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_a_name_that_is_taken_is_a_conflict_and_free_again_in_the_trash(api: TestClient) -> None:
    first = created(api, name="backup")
    refused = api.post("/tasks", json=document(name="backup"))
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    assert api.delete(f"/tasks/{first['id']}").status_code == 204
    created(api, name="backup")
    assert api.post(f"/tasks/{first['id']}/restore").status_code == 409


def test_the_list_is_in_order_of_name_page_by_page(api: TestClient) -> None:
    names = ["a", "B", "ä", "%", "_", "'; drop", "a b", "日本", "\U0001f600", "z" * 200]
    for name in names:
        created(api, name=name)
    found: list[str] = []
    cursor = None
    while True:
        query: dict[str, Any] = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = api.get("/tasks", params=query).json()
        found += [task["name"] for task in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == sorted(names)
    assert found == [task["name"] for task in api.get("/tasks?limit=500").json()["items"]]


def test_the_list_is_narrowed_by_search_tag_kind_and_state(api: TestClient) -> None:
    backup = created(api, name="nightly backup", tags=["ops"])
    report = created(api, name="report", kind="python", action={"callable": "a.b:c"}, paused=True)
    gone = created(api, name="gone")
    api.delete(f"/tasks/{gone['id']}")

    def names(query: str) -> set[str]:
        return {task["name"] for task in api.get(f"/tasks?{query}").json()["items"]}

    assert names("search=BACK") == {backup["name"]}
    assert names("search=%25") == set()
    assert names("tag=ops") == {backup["name"]}
    assert names("kind=python") == {report["name"]}
    assert names("state=paused") == {report["name"]}
    assert names("state=deleted") == {"gone"}
    assert names("state=") == {backup["name"], report["name"]}


def test_an_edit_needs_the_version_that_was_seen(api: TestClient) -> None:
    task = created(api)
    url, better = f"/tasks/{task['id']}", {**task, "description": "better"}
    assert api.put(url, json=better).status_code == 428
    done = api.put(url, json=better, headers={"If-Match": '"1"'})
    assert (done.status_code, done.json()["version"], done.headers["ETag"]) == (200, 2, '"2"')
    stale = api.put(url, json={**task, "description": "worse"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert stale.json()["current"] == done.json()
    assert api.get(url).json() == done.json()


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', "1", '"7", "1"', "*"])
def test_each_way_to_name_the_version_is_understood(api: TestClient, tag: str) -> None:
    task = created(api)
    assert api.put(f"/tasks/{task['id']}", json=task, headers={"If-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("shell", {"command": "echo 'ü' \n", "env": {"A": "b"}, "cwd": "/srv", "success_exit_codes": [0, 3]}),
        ("http", {"url": "https://example.org/?q=ä", "json": {"a": [1, 2.5, None, "\u2028"]}, "headers": {"X-A": "b"}}),
        ("python", {"callable": "a.b:c", "kwargs": {"deep": {"er": [[]]}, "big": 2**64 - 1}}),
        ("flow", {"entrypoint": "a.b:flow", "parameters": {"x": True}}),
    ],
)
def test_what_was_read_can_be_put_back_as_it_is(shared_api: TestClient, kind: str, action: dict[str, Any]) -> None:
    once = {"kind": "once", "at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    url = f"/tasks/{created(shared_api, kind=kind, action=action, schedule=once, tags=['b', 'a', 'b'])['id']}"
    read = shared_api.get(url)
    put = shared_api.put(url, json=read.json(), headers={"If-Match": read.headers["ETag"]})
    assert put.status_code == 200
    ours = ("version", "updated_at")
    assert {**put.json(), **dict.fromkeys(ours)} == {**read.json(), **dict.fromkeys(ours)}


def test_of_edits_at_once_one_wins_and_the_others_are_told_what_won(api: TestClient) -> None:
    task = created(api)
    answers: list[Any] = []

    def edit(words: str) -> None:
        body = {**task, "description": words}
        answers.append(api.put(f"/tasks/{task['id']}", json=body, headers={"If-Match": '"1"'}))

    threads = [threading.Thread(target=edit, args=(f"words {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412, 412]
    won = next(answer for answer in answers if answer.status_code == 200).json()
    assert all(answer.json()["current"] == won for answer in answers if answer.status_code == 412)


def test_a_pause_has_a_reason_and_an_end_and_a_resume_takes_both_away(api: TestClient) -> None:
    task = created(api)
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    paused = api.post(f"/tasks/{task['id']}/pause", json={"reason": "audit", "until": until}).json()
    assert (paused["paused"], paused["pause_reason"], paused["next_due_at"]) == (True, "audit", None)
    assert datetime.fromisoformat(paused["paused_until"]) == datetime.fromisoformat(until)
    resumed = api.post(f"/tasks/{task['id']}/resume", json={"missed": "none"}).json()
    assert (resumed["paused"], resumed["pause_reason"], resumed["paused_until"]) == (False, None, None)
    assert resumed["version"] == 3
    past = api.post(f"/tasks/{task['id']}/pause", json={"until": "2020-01-01T00:00:00Z"})
    assert (past.status_code, past.json()["errors"][0]["field"]) == (422, "until")
    for verb in ("pause", "resume"):
        assert api.post(f"/tasks/{task['id']}/{verb}").status_code == 200, "an empty body means the defaults"
    refused = api.post(f"/tasks/{task['id']}/resume", json={"missed": "some"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "missed")


def test_a_deleted_task_is_in_the_trash_until_it_is_restored(api: TestClient) -> None:
    task = created(api)
    url = f"/tasks/{task['id']}"
    assert api.delete(url, headers={"If-Match": '"9"'}).status_code == 412
    assert api.delete(url).status_code == 204
    assert api.get(url).json()["deleted_at"] is not None
    changes = [api.post(f"{url}/{verb}") for verb in ("pause", "resume", "run")]
    changes.append(api.put(url, json=task, headers={"If-Match": "*"}))
    assert [change.status_code for change in changes] == [409] * 4
    assert api.delete(url).status_code == 204, "a repeat, because the first answer was lost"
    assert api.get(url).json()["version"] == 2
    restored = api.post(f"{url}/restore").json()
    assert (restored["deleted_at"], restored["version"]) == (None, 3)
    assert api.post(f"{url}/restore").status_code == 409


def test_the_ledger_is_paged_oldest_first(api: TestClient) -> None:
    task = created(api, schedule={"kind": "cron", "cron": "*/5 * * * *"})
    url = f"/tasks/{task['id']}/due-times"
    first = api.get(url, params={"limit": 2}).json()
    second = api.get(url, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    due = [row["due_at"] for page in (first, second) for row in page["items"]]
    assert len(due) >= 3
    assert due == sorted(set(due))
    row = first["items"][0]
    assert set(row) == {"due_at", "outcome", "reason", "run_id", "lateness_seconds", "task_version", "why"}
    assert row["outcome"] == "pending"
    assert api.get(url, params={"to": due[1]}).json()["items"] == [row]
    assert api.get(url, params={"outcome": "ran"}).json()["items"] == []


def test_every_version_is_told_with_what_it_changed(api: TestClient) -> None:
    task = created(api)
    body = {**task, "description": "new", "retries": 2}
    api.put(f"/tasks/{task['id']}", json=body, headers={"If-Match": '"1"'})
    found = api.get(f"/tasks/{task['id']}/revisions").json()["items"]
    assert [(one["version"], one["change"], one["changed"]) for one in found] == [
        (2, "edited", ["description", "retries"]),
        (1, "created", []),
    ]


def test_a_change_is_noted_under_the_name_that_came_with_the_password_and_no_other(catalogue: Catalogue) -> None:
    password = "correct horse battery"
    app = Starlette(routes=[Mount("/api", create_api(catalogue, Hub(catalogue.url)))])
    client = TestClient(gated(app, catalogue, {"DUETIME_PASSWORD": password}), base_url="http://localhost:3000")
    task = client.post("/api/tasks", json=document(), auth=("ada", password))
    assert task.status_code == 201, task.text
    url = task.headers["Location"]
    pretended = {"Authorization": f"Bearer {password}", "X-Forwarded-User": "root", "Remote-User": "root"}
    assert client.post(f"{url}/pause", headers=pretended).status_code == 200
    found = client.get(f"{url}/revisions", headers=pretended).json()["items"]
    assert [one["actor"] for one in found] == ["api", "api:ada"]


@pytest.mark.parametrize(("missed", "pending"), [("none", 0), ("last", 1), ("all", 3)])
def test_a_resume_says_what_becomes_of_the_due_times_that_passed(
    api: TestClient, catalogue: Catalogue, missed: str, pending: int
) -> None:
    began = datetime.now(UTC).replace(second=30, microsecond=0) - timedelta(minutes=3)
    passed = ",".join(str((began + timedelta(minutes=minute)).minute) for minute in (1, 2, 3))
    thrice = document(schedule={"kind": "cron", "cron": f"{passed} * * * *", "timezone": "UTC"})
    with catalogue.transaction() as session:
        task_id = tasks.create_task(session, parse_task(thrice), actor="anna", now=began)
        tasks.pause_task(session, task_id, actor="anna", now=began)
    assert api.post(f"/tasks/{task_id}/resume", json={"missed": missed}).status_code == 200
    to = datetime.now(UTC).isoformat()
    ledger = api.get(f"/tasks/{task_id}/due-times", params={"to": to}).json()["items"]
    assert [row["outcome"] for row in ledger] == ["skipped"] * (3 - pending) + ["pending"] * pending


def test_a_task_goes_back_to_an_earlier_version_in_a_new_one_and_a_pause_stays(api: TestClient) -> None:
    task = created(api, description="first")
    url = f"/tasks/{task['id']}"
    api.put(url, json={**task, "description": "second", "retries": 3}, headers={"If-Match": '"1"'})
    api.post(f"{url}/pause")
    back = api.post(f"{url}/rollback", json={"version": 1})
    assert (back.status_code, back.headers["ETag"]) == (200, '"4"')
    assert (back.json()["description"], back.json()["retries"], back.json()["paused"]) == ("first", 0, True)
    assert api.get(f"{url}/revisions").json()["items"][0]["changed"] == ["description", "retries"]
    for nonsense in ({"version": 9}, {"version": 0}, {}):
        refused = api.post(f"{url}/rollback", json=nonsense)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "version")

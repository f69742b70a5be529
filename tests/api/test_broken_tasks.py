"""One task that cannot be read any more is shown as broken; the others, and every list, are as they were."""

import json
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from db.engine import Catalogue
from db.json_texts import read_json
from tests.api.conftest import document

SPOILT: dict[str, dict[str, Any]] = {
    "a zone that the tz database does not have any more": {
        "schedule": {"kind": "cron", "cron": "0 2 * * *", "timezone": "US/Pacific-New"}
    },
    "an expression that is refused now": {"schedule": {"kind": "cron", "cron": "0 0 31 2 *", "timezone": "UTC"}},
    "no schedule": {"schedule": None},
    "a schedule of another kind": {"schedule": {"kind": "moon"}},
    "a number for a schedule": {"schedule": 7},
    "no action": {"action": {}},
    "an action of another kind": {"kind": "http"},
    "a member that nobody knows": {"colour": "red"},
    "a text for a number": {"retries": "many"},
    "an end before its start": {"starts_at": "2027-01-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
    "tags that are no texts": {"tags": [7]},
    "a name that is not printable": {"name": "a\nb"},
    "what it follows is no list": {"after": 7},
    "what it follows is nothing": {"after": [None, {"task_id": "x"}]},
    "a number that does not fit": {"kind": "python", "action": {"callable": "m:f", "kwargs": {"i": 2**70}}},
    "a number beyond any": {"kind": "python", "action": {"callable": "m:f", "kwargs": {"i": 10**400}}},
}


def spoil(catalogue: Catalogue, table: str, task_id: str, changes: dict[str, Any]) -> None:
    key = "id" if table == "tasks" else "task_id"
    statement = text(f"UPDATE {table} SET spec = spec || CAST(:changes AS jsonb) WHERE {key} = :id")  # noqa: S608
    with catalogue.transaction() as session:
        session.execute(statement, {"changes": json.dumps(changes), "id": task_id})


def tasks_of(api: TestClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """One that is going to be spoilt, and one that follows it."""
    one = api.post("/tasks", json=document()).json()
    other = api.post("/tasks", json=document(after=[{"task_id": one["id"]}])).json()
    return one, other


def test_every_list_answers_whatever_is_stored_of_one_task(api: TestClient, catalogue: Catalogue) -> None:
    spoilt = {how: tasks_of(api)[0]["id"] for how in SPOILT}
    for how, task_id in spoilt.items():
        spoil(catalogue, "tasks", task_id, SPOILT[how])
    listed = {each["id"]: each for each in api.get("/tasks?limit=500").json()["items"]}
    assert len(listed) == 2 * len(SPOILT)
    for task_id, each in listed.items():
        assert (each["broken"] is not None, each["next_due_at"] is None) == (task_id in spoilt.values(),) * 2
    for path in ("/runs", "/readyz", "/calendars"):
        assert api.get(path).status_code in (200, 503), path
    for how, task_id in spoilt.items():
        shown = api.get(f"/tasks/{task_id}")
        assert read_json(json.dumps(SPOILT[how])).items() <= shown.json()["stored"].items()
        for path in ("revisions", "due-times"):
            assert api.get(f"/tasks/{task_id}/{path}").status_code == 200, how


def test_whatever_is_stored_of_a_task_it_can_be_stopped_and_mended(api: TestClient, catalogue: Catalogue) -> None:
    for how, changes in SPOILT.items():
        task_id = tasks_of(api)[0]["id"]
        spoil(catalogue, "tasks", task_id, changes)
        assert api.post(f"/tasks/{task_id}/run", json={}).status_code == 422, how
        for command in ("pause", "resume"):
            assert api.post(f"/tasks/{task_id}/{command}", json={}).status_code == 200, how
        assert api.delete(f"/tasks/{task_id}").status_code == 204, how
        assert api.post(f"/tasks/{task_id}/restore", json={}).status_code == 200, how
        version = api.get(f"/tasks/{task_id}").headers["ETag"]
        mended = api.put(f"/tasks/{task_id}", json=document(), headers={"If-Match": version})
        assert mended.status_code == 200, mended.text
        assert (mended.json()["broken"], mended.json()["next_due_at"] is None) == (None, False), how


def test_what_was_stored_is_put_back_only_as_it_should_be(api: TestClient, catalogue: Catalogue) -> None:
    one, _ = tasks_of(api)
    spoil(catalogue, "tasks", one["id"], SPOILT["a zone that the tz database does not have any more"])
    shown = api.get(f"/tasks/{one['id']}")
    assert shown.json()["schedule"]["timezone"] == "US/Pacific-New"
    again = api.put(f"/tasks/{one['id']}", json=shown.json(), headers={"If-Match": shown.headers["ETag"]})
    assert again.status_code == 422
    assert [each["field"] for each in again.json()["errors"]] == ["schedule.timezone"]


def test_an_old_version_that_is_spoilt_is_listed_and_not_gone_back_to(api: TestClient, catalogue: Catalogue) -> None:
    for how, changes in SPOILT.items():
        task_id = tasks_of(api)[0]["id"]
        spoil(catalogue, "revisions", task_id, changes)
        (version,) = api.get(f"/tasks/{task_id}/revisions").json()["items"]
        assert version["broken"], how
        assert api.post(f"/tasks/{task_id}/rollback", json={"version": 1}).status_code == 422, how


@pytest.mark.parametrize("entries", ["7", "{}", "[7]", '[{"first": "tomorrow"}]'])
def test_a_calendar_that_is_spoilt_is_listed_with_the_others(
    api: TestClient, catalogue: Catalogue, entries: str
) -> None:
    for name in ("fine", "spoilt"):
        assert api.post("/calendars", json={"name": name}).status_code == 201
    with catalogue.transaction() as session:
        spoilt = text("UPDATE calendars SET entries = CAST(:entries AS jsonb) WHERE name = 'spoilt'")
        session.execute(spoilt, {"entries": entries})
    listed = {each["name"]: each["broken"] for each in api.get("/calendars").json()["items"]}
    assert listed["fine"] is None
    assert listed["spoilt"]
    schedule = {"kind": "cron", "cron": "0 2 * * *", "timezone": "UTC", "calendars": ["fine"]}
    assert api.post("/tasks", json=document(schedule=schedule)).status_code == 201
    assert api.post("/tasks", json=document(schedule=schedule | {"calendars": ["spoilt"]})).status_code == 422

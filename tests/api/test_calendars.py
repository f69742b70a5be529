"""Calendars over REST."""

from time import process_time
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import created, document

EVE = {"kind": "dates", "first": "2030-12-24", "name": "Christmas Eve"}
WEEKEND = {"kind": "weekly", "days": ["sat", "sun"]}
NIGHTLY = {"kind": "cron", "cron": "0 2 * * *", "timezone": "Europe/Berlin", "calendars": ["holidays"]}
FILE = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
    "{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def made(api: TestClient, *entries: dict[str, Any]) -> dict[str, Any]:
    answer = api.post("/calendars", json={"name": "holidays", "entries": list(entries)})
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_a_calendar_is_made_changed_followed_and_removed(api: TestClient) -> None:
    first = made(api, EVE)
    assert (first["version"], first["used_by"], first["entries"][0]["name"]) == (1, 0, "Christmas Eve")
    assert api.post("/calendars", json={"name": "holidays"}).status_code == 409
    task = created(api, schedule=NIGHTLY)
    assert task["schedule"]["calendars"] == ["holidays"]
    assert [each["first"] for each in task["schedule"]["closed"]] == ["2030-12-24"]

    answer = api.get("/calendars/holidays")
    assert (answer.json()["used_by"], answer.headers["ETag"]) == (1, '"1"')
    assert api.put("/calendars/holidays", json={"entries": []}).status_code == 428
    stale = api.put("/calendars/holidays", json={"entries": []}, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    changed = api.put("/calendars/holidays", json={"entries": [EVE, WEEKEND]}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    followed = api.get(f"/tasks/{task['id']}").json()
    assert (followed["version"], len(followed["schedule"]["closed"])) == (2, 2)

    assert api.delete("/calendars/holidays").status_code == 409
    free = {name: value for name, value in NIGHTLY.items() if name != "calendars"}
    replaced = api.put(f"/tasks/{task['id']}", json=document(schedule=free), headers={"If-Match": '"2"'})
    assert replaced.json()["schedule"] == free  # to the letter, as without calendars
    assert api.delete("/calendars/holidays").status_code == 204
    assert api.get("/calendars").json() == {"items": []}
    assert api.get("/calendars/holidays").status_code == 404


def test_what_was_read_can_be_put_back(api: TestClient) -> None:
    made(api, EVE)
    task = created(api, schedule=NIGHTLY)
    answer = api.put(f"/tasks/{task['id']}", json=task, headers={"If-Match": '"1"'})
    assert answer.status_code == 200, answer.text
    assert answer.json()["schedule"] == task["schedule"]


def test_what_a_request_says_to_be_closed_does_not_count(api: TestClient) -> None:
    made(api, EVE)
    task = created(api, schedule={**NIGHTLY, "closed": [WEEKEND]})
    assert [each["kind"] for each in task["schedule"]["closed"]] == ["dates"]
    plain = created(api, schedule={**NIGHTLY, "calendars": [], "closed": [WEEKEND]})
    assert "closed" not in plain["schedule"]


def test_a_preview_knows_of_closed_days(api: TestClient) -> None:
    made(api, EVE)
    body = {"schedule": NIGHTLY, "count": 2, "from": "2030-12-23T12:00:00Z"}
    previewed = api.post("/schedules/preview", json=body).json()
    assert previewed["due_times"] == ["2030-12-25T01:00:00Z", "2030-12-26T01:00:00Z"]
    assert previewed["words"] == "Every day at 02:00, Europe/Berlin, not on closed days"
    unknown = api.post("/schedules/preview", json={"schedule": {**NIGHTLY, "calendars": ["x"]}})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "schedule.calendars")


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        ([{"kind": "dates", "first": "never"}], "entries.0"),
        ([{"kind": "dates", "first": "2030-12-24", "last": "2030-12-23"}], "entries.0"),
        ([{"kind": "weekly", "days": []}], "entries.0"),
        ([EVE, {"kind": "monthly"}], "entries.1"),
        ([EVE] * 2001, "entries"),
        ("all", "entries"),
    ],
)
def test_bad_entries_are_refused_with_their_place(api: TestClient, entries: Any, field: str) -> None:
    answer = api.post("/calendars", json={"name": "holidays", "entries": entries})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)


@pytest.mark.parametrize("name", ["a/b", "", "   ", "two\nlines", "x" * 201])
def test_bad_names_are_refused(api: TestClient, name: str) -> None:
    answer = api.post("/calendars", json={"name": name})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")


def test_an_ics_file_is_read_and_nothing_is_kept(api: TestClient) -> None:
    text = FILE.format("DTSTART;VALUE=DATE:20301224\r\nRRULE:FREQ=YEARLY\r\nSUMMARY:Eve")
    answer = api.post("/calendars/read-ics", json={"text": text})
    assert answer.status_code == 200, answer.text
    (entry,) = answer.json()["entries"]
    assert (entry["first"], entry["yearly"], entry["name"]) == ("2030-12-24", True, "Eve")
    assert api.get("/calendars").json() == {"items": []}
    wrong = api.post("/calendars/read-ics", json={"text": "nothing"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "text")


@pytest.mark.parametrize("then", ["skip", "next", "previous"])
def test_what_is_never_open_is_told_soon_and_is_no_task(api: TestClient, then: str) -> None:
    made(api, {"kind": "weekly", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]})
    hourly = NIGHTLY | {"cron": "0 * * * *", "on_closed": then}
    begun = process_time()
    previewed = api.post("/schedules/preview", json={"schedule": hourly, "count": 100}).json()
    refused = api.post("/tasks", json=document(schedule=hourly))
    assert process_time() - begun < 5
    assert (previewed["due_times"], previewed["warnings"][0]) == ([], "Its calendars are closed whenever it is due.")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "schedule")


def test_a_task_whose_calendar_closes_everything_is_still_listed_and_can_be_edited(api: TestClient) -> None:
    made(api, EVE)
    task = created(api, schedule=NIGHTLY | {"on_closed": "next"})
    all_week = {"kind": "weekly", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
    closed = api.put("/calendars/holidays", json={"entries": [all_week]}, headers={"If-Match": '"1"'})
    assert closed.status_code == 200, closed.text
    listed = api.get("/tasks").json()["items"]
    assert [(each["id"], each["next_due_at"]) for each in listed] == [(task["id"], None)]
    assert api.put("/calendars/holidays", json={"entries": []}, headers={"If-Match": '"2"'}).status_code == 200
    assert api.get(f"/tasks/{task['id']}").json()["next_due_at"] is not None

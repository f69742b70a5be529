"""Schedules that are tried before a task has them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import document

BERLIN = {"kind": "cron", "cron": "0 2 * * *", "timezone": "Europe/Berlin"}


def preview(api: TestClient, schedule: dict[str, Any], **more: Any) -> Any:
    answer = api.post("/schedules/preview", json={"schedule": schedule, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_preview_says_when_in_words_and_instants(shared_api: TestClient) -> None:
    assert preview(shared_api, BERLIN, count=2, **{"from": "2026-12-01T00:00:00Z"}) | {"warnings": []} == {
        "words": "Every day at 02:00, Europe/Berlin",
        "due_times": ["2026-12-01T01:00:00Z", "2026-12-02T01:00:00Z"],
        "warnings": [],
    }


def test_a_preview_begins_with_the_instant_that_it_is_asked_for(shared_api: TestClient) -> None:
    for at in ("2026-12-01T01:00:00Z", "2026-12-01T02:00:00+01:00"):
        assert preview(shared_api, BERLIN, count=1, **{"from": at})["due_times"] == ["2026-12-01T01:00:00Z"]


def test_a_preview_begins_now_and_has_ten_due_times_unless_it_is_told_otherwise(shared_api: TestClient) -> None:
    found = [datetime.fromisoformat(at) for at in preview(shared_api, BERLIN)["due_times"]]
    assert len(found) == 10
    assert datetime.now(UTC) < found[0] < datetime.now(UTC) + timedelta(hours=25)
    assert preview(shared_api, BERLIN, **{"from": None})["due_times"] == preview(shared_api, BERLIN)["due_times"]


def test_a_preview_warns_of_what_may_surprise(shared_api: TestClient) -> None:
    fixed_time_in_the_gap = BERLIN | {"cron": "30 2 * * *"}
    assert any("2027" in warning for warning in preview(shared_api, fixed_time_in_the_gap)["warnings"])
    passed = {"kind": "once", "at": "2020-01-01T00:00:00Z"}
    assert preview(shared_api, passed) | {"words": ""} == {
        "words": "",
        "due_times": [],
        "warnings": ["This moment has passed."],
    }
    assert preview(shared_api, {"kind": "manual"})["due_times"] == []


@pytest.mark.parametrize(
    ("cron", "start", "first"),
    [
        ("0 0 * 2 sun#5", "2033-01-01T00:00:00Z", "2060-02-29T00:00:00Z"),
        ("0 0 29 2 fri#5", "2026-01-01T00:00:00Z", "2036-02-29T00:00:00Z"),
        ("0 0 29 2 *", "2097-01-01T00:00:00Z", "2104-02-29T00:00:00Z"),
    ],
)
def test_the_rarest_days_are_found(shared_api: TestClient, cron: str, start: str, first: str) -> None:
    schedule = {"kind": "cron", "cron": cron}
    assert preview(shared_api, schedule, count=1, **{"from": start})["due_times"] == [first]
    assert shared_api.post("/tasks", json=document(schedule=schedule, starts_at=start)).status_code == 201


def test_due_times_end_with_the_calendar(shared_api: TestClient) -> None:
    rare = {"kind": "cron", "cron": "0 0 29 2 fri#5"}
    found = preview(shared_api, rare, count=100, **{"from": "9000-01-01T00:00:00Z"})["due_times"]
    assert 1 < len(found) < 100
    assert found[-1] < "9999"


@pytest.mark.parametrize("cron", ["*/15,7 * * * *", "0 */90,1-2/1 * * *", "* * * * *,mon", "*,5 * * * *"])
def test_a_step_before_a_list_is_told_and_shown(shared_api: TestClient, cron: str) -> None:
    assert len(preview(shared_api, BERLIN | {"cron": cron})["due_times"]) == 10

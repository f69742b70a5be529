"""What an edit changes is said before it is saved."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboard.edit_effects import effects, in_words, overlap_forecast
from db.specs import AnyTask, parse_task

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def task(cron: str = "0 2 * * *", **changes: Any) -> AnyTask:
    schedule = {"kind": "cron", "cron": cron, "timezone": "UTC"}
    document = {"name": "backup", "kind": "shell", "action": {"command": "true"}, "schedule": schedule}
    return parse_task(document | changes)


def test_due_times_that_come_and_go_are_told() -> None:
    found = effects(task("0 2 * * *"), task("0 3 * * *"), now=NOW)
    assert (len(found.added), len(found.removed)) == (14, 14)
    assert found.added[0] == datetime(2026, 11, 26, 3, tzinfo=UTC)
    assert in_words(found) == "Due times of the next 14 days: 14 added, 14 gone."


def test_an_edit_of_something_else_changes_no_due_time() -> None:
    found = effects(task(), task(action={"command": "false"}), now=NOW)
    assert not found
    assert "No due time" in in_words(found)


def test_a_start_takes_due_times_away_and_a_one_shot_leaves_one() -> None:
    later = task(starts_at=(NOW + timedelta(days=7)).isoformat())
    assert len(effects(task(), later, now=NOW).removed) == 7
    once = task(schedule={"kind": "once", "at": (NOW + timedelta(days=1)).isoformat()})
    found = effects(task(), once, now=NOW)
    assert (len(found.added), len(found.removed)) == (1, 14)


def test_of_schedules_that_are_due_often_the_time_looked_at_is_shorter_and_the_same_for_both() -> None:
    found = effects(task("* * * * *"), task("*/2 * * * *"), now=NOW)
    assert in_words(found) == "Due times of the next 1 d 9 h: 1,000 gone."
    assert effects(task(), task("* * * * *"), now=NOW).removed == ()


@pytest.mark.parametrize(
    ("overlap", "said"),
    [
        ("skip", "of 3 due times in a row, 2 would be skipped"),
        ("queue", "ever longer"),
        ("allow", "up to 3 runs would go on side by side"),
        ("replace", "stopped by the next one"),
    ],
)
def test_runs_that_would_meet_are_foretold(overlap: str, said: str) -> None:
    told = overlap_forecast(task("*/2 * * * *", overlap=overlap), 290, now=NOW)
    assert told.startswith("A run takes up to 4 m 50 s, and it can be due after 2 m 00 s:")
    assert said in told


@pytest.mark.parametrize("usual", [None, 0.5, 120])
def test_nothing_is_foretold_where_runs_fit(usual: float | None) -> None:
    assert overlap_forecast(task("*/2 * * * *"), usual, now=NOW) == ""
    assert overlap_forecast(task(schedule={"kind": "manual"}), usual, now=NOW) == ""

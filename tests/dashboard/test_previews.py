"""A schedule is told before it is saved, its surprises included."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from dashboard.forms import fields_of, new_document
from dashboard.policies import duration, summary
from dashboard.previews import Preview, preview, same_moment
from dashboard.task_words import value

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def seen(**changes: Any) -> Preview:
    return preview({**fields_of(new_document("Europe/Berlin"), zone="UTC", now=NOW), **changes}, now=NOW)


def once(day: date, clock: str, **changes: Any) -> Preview:
    return seen(schedule_kind="once", once_date=day, once_time=clock, **changes)


def test_the_next_ten_due_times_are_those_of_the_zone() -> None:
    found = seen(cron="30 8 * * 1-5")
    assert found.words == "At 08:30, Monday through Friday, Europe/Berlin"
    assert len(found.due_at) == 10
    assert found.due_at[0] == datetime(2026, 11, 25, 7, 30, tzinfo=UTC)


def test_start_and_end_bound_the_due_times() -> None:
    found = seen(cron="0 8 * * *", starts_at="2027-02-01", ends_at="2027-02-03 08:00")
    assert [at.isoformat() for at in found.due_at] == [f"2027-02-0{day}T07:00:00+00:00" for day in (1, 2, 3)]
    assert "never due" in seen(cron="0 8 1 1 *", ends_at="2026-12-01").notes[-1]


@pytest.mark.parametrize("unfinished", ["20", "2026-13", "x"])
def test_a_bound_that_is_being_typed_does_not_hide_the_due_times(unfinished: str) -> None:
    assert len(seen(starts_at=unfinished).due_at) == 10


def test_what_cannot_be_followed_says_why() -> None:
    assert seen(cron="61 * * * *") == Preview(error=seen(cron="61 * * * *").error)
    assert "five fields" in seen(cron="* *").error
    assert "Write when" in seen(cron=" ").error
    assert "Choose a day" in once(None, "10:00").error  # type: ignore[arg-type]
    assert "10:00 or 10:00:30" in once(date(2026, 12, 1), "ten").error


def test_a_moment_that_the_clock_jumps_over_or_shows_twice_is_pointed_out() -> None:
    assert once(date(2027, 3, 28), "02:30").notes == ("The clock jumps over 02:30 on that day: it runs at 03:00.",)
    twice = once(date(2027, 10, 31), "02:30")
    assert twice.comes_twice
    assert "twice" in twice.notes[0]
    assert once(date(2027, 7, 1), "02:30").notes == ()


def test_a_moment_that_has_passed_has_no_due_time() -> None:
    past = once(date(2026, 11, 24), "12:00")
    assert (past.is_past, past.due_at) == (True, ())
    assert past.words == "Once, Tue 24 Nov 2026, 12:00, Europe/Berlin"
    assert not once(date(2026, 11, 24), "13:30").is_past


def test_the_same_moment_is_recognised_whatever_its_zone() -> None:
    fields = {"once_date": date(2026, 12, 1), "once_time": "10:00", "once_pass": "first", "timezone": "Europe/Berlin"}
    assert same_moment(fields, {"kind": "once", "at": "2026-12-01T09:00:00Z"})
    assert not same_moment(fields, {"kind": "once", "at": "2026-12-01T10:00:00Z"})
    assert not same_moment(fields, {"kind": "manual"})
    assert not same_moment(fields, None)


def test_policies_are_told_in_one_line() -> None:
    fields = fields_of(new_document("UTC"), zone="UTC", now=NOW)
    assert summary(fields) == "one run at a time, catches up once, no retries, ends after 1 hour"
    other = {"overlap": "allow", "misfire": "skip", "retries": 2, "timeout_seconds": None, "on_crash": "rerun"}
    assert summary({**fields, **other, "max_lateness_seconds": 5}) == (
        "runs side by side, never catches up, 2 retries, no time limit, runs again after a crash, "
        "at most 5 seconds late"
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 seconds"), (1, "1 second"), (90, "90 seconds"), (120, "2 minutes"), (86400, "1 day")]
)
def test_durations_are_told_in_their_largest_exact_unit(seconds: int, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("field", "held", "words"),
    [
        ("tags", ["a", "b"], "a, b"),
        ("overlap", "queue", "Wait, then run the new one"),
        ("timeout_seconds", 600, "10 minutes"),
        ("timeout_seconds", None, ""),
        ("paused", False, "no"),
        ("retries", 0, "0"),
        ("action.cwd", None, ""),
        ("action.env", {"A": "1", "B": "two\nlines"}, 'A=1\nB="two\\nlines"'),
        ("action.body", {"body": None, "json": [1]}, "[\n  1\n]"),
        ("schedule", {"kind": "manual"}, "Only when started by hand"),
        ("schedule", {"kind": "cron", "cron": "0 2 * * *", "timezone": "UTC"}, "Every day at 02:00, UTC\n0 2 * * *"),
        ("starts_at", "2026-12-01T09:00:00Z", "Tue 01 Dec 2026, 10:00:00 Europe/Berlin\nTue 01 Dec 2026, 09:00:00 UTC"),
        (
            "action",
            {"kind": "python", "action": {"callable": "a.b:c", "kwargs": {}}},
            "Python function\nFunction: a.b:c",
        ),
    ],
)
def test_values_are_told_as_people_read_them(field: str, held: Any, words: str) -> None:
    assert value(field, held, zone="Europe/Berlin") == words

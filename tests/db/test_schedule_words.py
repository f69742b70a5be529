"""Schedules as they are told to people: in words, and with warnings."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from db.schedule_words import in_words, warnings
from db.schedules import Cron, Manual, Once

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 2 * * *", "Every day at 02:00"),
        ("@daily", "Every day at 00:00"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("@hourly", "Every hour"),
        ("0 9 * * 1-5", "At 09:00, Monday through Friday"),
        ("30 6 1 * *", "At 06:30, on day 1 of the month"),
        ("0 0 l * *", "At 00:00, on the last day of the month"),
        ("* * * * * */20", "Every 20 seconds"),
        ("0 2 * * * 30", "Every day at 02:00:30"),
    ],
)
def test_a_cron_schedule_is_said_as_a_person_says_it(expression: str, words: str) -> None:
    assert in_words(Cron(expression, "Europe/Berlin")) == f"{words}, Europe/Berlin"


def test_the_other_schedules_are_said_in_utc_or_without_a_time() -> None:
    at = datetime(2026, 12, 1, 10, 0, 5, tzinfo=ZoneInfo("Europe/Berlin"))
    assert in_words(Once(at)) == "Once, Tue 01 Dec 2026, 09:00:05 UTC"
    assert in_words(Manual()) == "Only when started by hand"


def test_a_fixed_time_warns_of_the_hour_that_comes_twice_and_of_the_one_that_is_missing() -> None:
    assert warnings(Cron("30 2 * * *", "Europe/Berlin"), now=NOW) == [
        "Sun 25 Oct 2026: 02:30 comes twice, it runs on the first pass only.",
        "Sun 28 Mar 2027: the clock jumps over this time, it runs at 03:00, the next valid instant.",
    ]


def test_seconds_do_not_change_what_is_warned_of() -> None:
    assert len(warnings(Cron("30 2 * * * 15", "Europe/Berlin"), now=NOW)) == 2


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("30 4 * * *", "Europe/Berlin"),
        ("30 2 * * *", "Asia/Kathmandu"),
        ("*/15 * * * *", "Europe/Berlin"),
        ("0 * * * *", "Europe/Berlin"),
        ("30 2 1 7 *", "Europe/Berlin"),
    ],
)
def test_where_the_clock_changes_nothing_nothing_is_said(expression: str, zone: str) -> None:
    assert warnings(Cron(expression, zone), now=NOW) == []


def test_a_step_that_is_longer_than_its_field_is_warned_of_and_not_said_to_be_a_rhythm() -> None:
    every_ninety = Cron("*/90 * * * *")
    assert warnings(every_ninety, now=NOW) == [
        "*/90 counts within 60 minutes and then begins again: it is no rhythm of 90 minutes."
    ]
    assert in_words(every_ninety) == "*/90 * * * *, UTC"
    assert warnings(Cron("0 */5 * * *"), now=NOW) == []


def test_a_once_in_the_past_warns_and_a_manual_never_does() -> None:
    assert warnings(Once(NOW), now=NOW) == ["This moment has passed."]
    assert warnings(Once(NOW.replace(year=2027)), now=NOW) == []
    assert warnings(Manual(), now=NOW) == []

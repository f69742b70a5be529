"""Instants and durations as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard.moments import clock, in_full, moment, span, time_of_day, took

AT = datetime(2026, 11, 24, 5, 0, 0, 312_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (-0.2, "0 ms"),
        (0.3404, "340 ms"),
        (1.5, "1.5 s"),
        (123, "2 m 03 s"),
        (3720, "1 h 02 m"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_a_duration_is_as_precise_as_it_is_short(seconds: float | None, words: str) -> None:
    assert span(seconds) == words


def test_an_instant_is_told_in_the_zone_first_and_then_in_utc() -> None:
    assert in_full(AT, "Europe/Berlin") == "Tue 24 Nov 2026, 06:00:00 Europe/Berlin\nTue 24 Nov 2026, 05:00:00 UTC"
    assert in_full(AT, "UTC") == "Tue 24 Nov 2026, 05:00:00 UTC"


def test_seconds_are_shown_only_where_there_are_some() -> None:
    assert clock(AT, "Europe/Berlin") == "Tue 24 Nov, 06:00"
    assert clock(AT + timedelta(seconds=30), "Asia/Tokyo") == "Tue 24 Nov, 14:00:30"
    assert time_of_day(AT, "UTC", precise=True) == "05:00:00.312"


def test_what_ticks_carries_its_instant_in_milliseconds() -> None:
    assert moment(None, "UTC") is None
    shown = moment(AT, "UTC")
    assert shown is not None
    assert shown["at"] == 1_795_496_400_312


def test_a_run_that_has_not_ended_ticks_and_one_that_has_does_not() -> None:
    assert took(None, None) is None
    assert took(AT, None) == {"at": 1_795_496_400_312}
    assert took(AT, AT + timedelta(seconds=9)) == {"text": "9.0 s"}

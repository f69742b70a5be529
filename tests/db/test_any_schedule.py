"""Whatever schedule is accepted: it is told, warned of and evaluated without an error, and soon."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from time import thread_time
from typing import TypeVar

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from db.closures import Closed, Dates, OnClosed, Weekday, Weekly
from db.schedule_words import in_words, warnings
from db.schedules import Cron, ScheduleError, check_cron, check_movable, closing, next_due_times, open_due_times
from tests.crons import EXPRESSIONS

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LAST = datetime(9000, 12, 31, 23, tzinfo=UTC)
SOON = 5.0
"""Seconds of the processor: several times what the slowest takes, for slow machines."""
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
EVERY_DAY = Weekly(days=tuple(Weekday))
ALWAYS = (EVERY_DAY,)
BY_DAY = (Weekly(days=tuple(Weekday), begins=time(4), ends=time(3)),)
BY_MONTH = tuple(
    Dates(first=date(2026, 1, 1) + timedelta(days=33 * n), last=date(2026, 2, 1) + timedelta(days=33 * n))
    for n in range(200)
)
BY_MINUTE = tuple(
    Weekly(
        days=tuple(Weekday),
        begins=time(minute // 60 % 24, minute % 60),
        ends=time((minute + 1) // 60 % 24, (minute + 1) % 60),
    )
    for minute in range(1440)
)
CALENDARS = [ALWAYS, BY_DAY, BY_MONTH, BY_MINUTE]


T = TypeVar("T")


def soon(do: Callable[[], T]) -> T:
    begin = thread_time()
    done = do()
    assert thread_time() - begin < SOON
    return done


@given(expression=EXPRESSIONS, zone=ZONES, now=st.sampled_from([NOW, LAST]))
@example(expression="*/15,7 * * * *", zone="UTC", now=NOW)
@example(expression="*,7 * * * *,mon", zone="UTC", now=NOW)
@example(expression="0 0 29 2 *", zone="UTC", now=LAST)
def test_whatever_is_accepted_is_told_warned_of_and_due(expression: str, zone: str, now: datetime) -> None:
    try:
        schedule = Cron(soon(lambda: check_cron(expression)), zone)
    except ScheduleError:
        assume(False)
    assert soon(lambda: in_words(schedule)).endswith(zone)
    assert all(soon(lambda: warnings(schedule, now=now)))
    assert len(soon(lambda: next_due_times(schedule, after=now, count=10))) == 10 or now == LAST


@settings(max_examples=20)
@given(
    expression=EXPRESSIONS,
    zone=ZONES,
    entries=st.sampled_from(CALENDARS),
    then=st.sampled_from(OnClosed),
    now=st.sampled_from([NOW, LAST]),
)
@example(expression="0 * * * *", zone="UTC", entries=ALWAYS, then=OnClosed.NEXT, now=NOW)
@example(expression="0 12 * * *", zone="UTC", entries=BY_DAY, then=OnClosed.NEXT, now=NOW)
@example(expression="0 * * * *", zone="Europe/Berlin", entries=BY_MONTH, then=OnClosed.PREVIOUS, now=LAST)
def test_whatever_its_calendars_close_its_due_times_are_known_soon(
    expression: str, zone: str, entries: tuple[Dates | Weekly, ...], then: OnClosed, now: datetime
) -> None:
    schedule = Cron(expression, zone, Closed(entries, then))
    try:
        check_cron(expression)
        check_movable(expression) if then is not OnClosed.SKIP else None
    except ScheduleError:
        assume(False)
    found = soon(lambda: next_due_times(schedule, after=now, count=3))
    assert all(closing(schedule, at) is None for at in found)
    assert all(soon(lambda: warnings(schedule, now=now)))
    if entries is ALWAYS:
        assert found == []


@given(expression=st.text(alphabet="0123456789*/,-#LW?@HR monfrijan\t\x00٣²", max_size=30))
def test_what_is_no_expression_is_refused_and_nothing_else(expression: str) -> None:
    with suppress(ScheduleError):
        check_cron(expression)


def test_an_expression_of_any_length_is_refused_at_once() -> None:
    with pytest.raises(ScheduleError, match="at most 200"):
        soon(lambda: check_cron(f"{','.join(['0'] * 1_000_000)} * * * *"))


def test_a_calendar_that_opens_again_after_years_is_waited_for() -> None:
    years = tuple(Dates(first=date(year, 1, 1), last=date(year, 12, 31)) for year in range(2026, 2030))
    for then in OnClosed:
        schedule = Cron("0 2 * * *", "UTC", Closed(years, then))
        assert next_due_times(schedule, after=NOW, count=1) == [datetime(2030, 1, 1, 2, tzinfo=UTC)]


def test_an_open_day_a_month_is_found_each_time() -> None:
    schedule = Cron("0 2 * * *", "UTC", Closed(BY_MONTH, OnClosed.SKIP))
    until = NOW + timedelta(days=365)
    assert len(list(takewhile(lambda at: at < until, open_due_times(schedule, after=NOW)))) == 11

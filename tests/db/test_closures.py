"""When calendars are closed, and what that does to a schedule: by hand, and compared with a plain reading."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from db.closures import DAY, Closed, Dates, OnClosed, Weekday, Weekly
from db.schedule_words import warnings
from db.schedules import Cron, ScheduleError, check_movable, closing, due_times, moved_to, next_due_times

BERLIN = ZoneInfo("Europe/Berlin")
WEEKEND = Weekly(days=(Weekday.SAT, Weekday.SUN), name="Weekend")
CHRISTMAS = Dates(first=date(2026, 12, 25), last=date(2026, 12, 26), name="Christmas")
NIGHT = Weekly(days=(Weekday.SUN,), begins=time(22), ends=time(4), name="Maintenance")


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("entry", "at", "end"),
    [
        (CHRISTMAS, "2026-12-24T23:59:59", None),
        (CHRISTMAS, "2026-12-25T00:00", "2026-12-27T00:00"),
        (CHRISTMAS, "2026-12-26T23:59", "2026-12-27T00:00"),
        (CHRISTMAS, "2026-12-27T00:00", None),
        (CHRISTMAS, "2027-12-25T12:00", None),
        (WEEKEND, "2026-11-28T12:00", "2026-11-30T00:00"),
        (WEEKEND, "2026-11-30T00:00", None),
        (NIGHT, "2026-11-29T21:59", None),
        (NIGHT, "2026-11-29T22:00", "2026-11-30T04:00"),
        (NIGHT, "2026-11-30T03:59", "2026-11-30T04:00"),
        (NIGHT, "2026-11-30T04:00", None),
        (NIGHT, "2026-12-01T03:00", None),
        (Weekly(days=(Weekday.MON,), begins=time(9), ends=time(0)), "2026-11-30T23:00", "2026-12-01T00:00"),
        (Dates(first=date(2020, 12, 24), last=date(2021, 1, 1), yearly=True), "2030-01-01T08:00", "2030-01-02T00:00"),
        (Dates(first=date(2020, 12, 24), last=date(2021, 1, 1), yearly=True), "2030-01-02T00:00", None),
        (Dates(first=date(2024, 2, 29), yearly=True), "2028-02-29T08:00", "2028-03-01T00:00"),
        (Dates(first=date(2024, 2, 29), yearly=True), "2027-02-28T08:00", None),
        (
            Dates(first=date(2026, 12, 4), last=date(2026, 12, 7), begins=time(14), ends=time(6)),
            "2026-12-04T13:59",
            None,
        ),
        (
            Dates(first=date(2026, 12, 4), last=date(2026, 12, 7), begins=time(14), ends=time(6)),
            "2026-12-07T05:59",
            "2026-12-07T06:00",
        ),
        (
            Dates(first=date(2026, 12, 4), last=date(2026, 12, 7), begins=time(14), ends=time(6)),
            "2026-12-07T06:00",
            None,
        ),
    ],
)
def test_an_entry_is_closed_until_it_opens(entry: Dates | Weekly, at: str, end: str | None) -> None:
    closed = Closed((entry,))
    assert (closed.at(wall(at)) is entry) == (end is not None)
    assert closed.opens(wall(at)) == wall(end or at)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "dates", "first": "2026-12-26", "last": "2026-12-25"},
        {"kind": "dates", "first": "2026-12-26", "last": "2028-12-25"},
        {"kind": "dates", "first": "2026-12-26", "begins": "10:00", "ends": "10:00"},
        {"kind": "dates", "first": "1960-01-01"},
        {"kind": "dates", "first": "2026-12-26", "begins": "10:00+01:00"},
        {"kind": "dates", "first": "2026-02-30"},
    ],
)
def test_dates_that_make_no_sense_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Dates.model_validate(wrong)


@pytest.mark.parametrize("wrong", [{"days": []}, {"days": ["sat"], "begins": "10:00"}, {"days": ["someday"]}])
def test_weekly_windows_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Weekly.model_validate(wrong)


def local(instants: list[datetime]) -> list[str]:
    return [f"{at.astimezone(BERLIN):%a %d %b %H:%M}" for at in instants]


def nightly(then: OnClosed, *entries: Dates | Weekly) -> Cron:
    return Cron("0 2 * * *", "Europe/Berlin", Closed(entries, then))


THURSDAY = datetime(2026, 12, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("then", "due"),
    [
        (OnClosed.SKIP, ["Thu 24 Dec 02:00", "Mon 28 Dec 02:00", "Tue 29 Dec 02:00"]),
        (OnClosed.NEXT, ["Thu 24 Dec 02:00", "Mon 28 Dec 02:00", "Tue 29 Dec 02:00"]),
        (OnClosed.PREVIOUS, ["Thu 24 Dec 02:00", "Mon 28 Dec 02:00", "Tue 29 Dec 02:00"]),
    ],
)
def test_a_nightly_task_keeps_away_from_holidays(then: OnClosed, due: list[str]) -> None:
    assert local(next_due_times(nightly(then, WEEKEND, CHRISTMAS), after=THURSDAY, count=3)) == due


@pytest.mark.parametrize(
    ("then", "due"),
    [
        (OnClosed.SKIP, ["Mon 25 Jan 06:30", "Thu 25 Feb 06:30", "Thu 25 Mar 06:30"]),
        (OnClosed.NEXT, ["Mon 28 Dec 06:30", "Mon 25 Jan 06:30", "Thu 25 Feb 06:30"]),
        (OnClosed.PREVIOUS, ["Thu 24 Dec 06:30", "Mon 25 Jan 06:30", "Thu 25 Feb 06:30"]),
    ],
)
def test_a_monthly_task_moves_to_an_open_day(then: OnClosed, due: list[str]) -> None:
    schedule = Cron("30 6 25 * *", "Europe/Berlin", Closed((WEEKEND, CHRISTMAS), then))
    assert local(next_due_times(schedule, after=THURSDAY, count=3)) == due
    friday = datetime(2026, 12, 25, 5, 30, tzinfo=UTC)
    assert friday in islice(due_times(schedule, after=THURSDAY), 2)  # the ledger has it all the same
    assert closing(schedule, friday) == "Christmas"
    moved = moved_to(schedule, friday)
    assert (local([moved]) if moved else []) == ([] if then is OnClosed.SKIP else due[:1])


def test_what_was_moved_is_found_from_wherever_one_looks() -> None:
    schedule = Cron("30 6 25 * *", "Europe/Berlin", Closed((WEEKEND, CHRISTMAS), OnClosed.NEXT))
    for after in (THURSDAY, THURSDAY + timedelta(days=3), datetime(2026, 12, 28, 5, 29, tzinfo=UTC)):
        assert local(next_due_times(schedule, after=after, count=1)) == ["Mon 28 Dec 06:30"]
    assert local(next_due_times(schedule, after=datetime(2026, 12, 28, 5, 30, tzinfo=UTC), count=1)) == [
        "Mon 25 Jan 06:30"
    ]


def test_what_finds_no_open_day_is_not_run() -> None:
    long = Dates(first=date(2026, 12, 1), last=date(2027, 3, 1))
    schedule = Cron("0 2 5 1 *", "UTC", Closed((long,), OnClosed.PREVIOUS))
    assert moved_to(schedule, datetime(2027, 1, 5, 2, tzinfo=UTC)) is None
    assert next_due_times(schedule, after=THURSDAY, count=1) == [datetime(2028, 1, 5, 2, tzinfo=UTC)]


def test_a_schedule_that_is_always_closed_has_no_due_time() -> None:
    always = Closed((Weekly(days=tuple(Weekday)),))
    assert next_due_times(Cron("* * * * *", "UTC", always), after=THURSDAY, count=1) == []


def test_a_closed_weekend_of_seconds_is_passed_at_once() -> None:
    schedule = Cron("* * * * * *", "UTC", Closed((WEEKEND,)))
    after = datetime(2026, 11, 27, 23, 59, 59, tzinfo=UTC)
    assert next_due_times(schedule, after=after, count=1) == [datetime(2026, 11, 30, tzinfo=UTC)]


@pytest.mark.parametrize("cron", ["* * * * *", "*/5 2 * * *", "0-29 2 * * *", "0 * * * * 30,31"])
def test_what_is_due_often_cannot_be_moved(cron: str) -> None:
    if cron.startswith("*/5"):
        check_movable(cron)  # twelve times a day
        return
    with pytest.raises(ScheduleError):
        check_movable(cron)


def test_a_warning_says_what_is_closed_and_where_it_goes() -> None:
    schedule = Cron("30 6 25 * *", "Europe/Berlin", Closed((WEEKEND, CHRISTMAS), OnClosed.NEXT))
    assert warnings(schedule, now=THURSDAY)[0] == (
        "Fri 25 Dec 2026, 06:30: closed (Christmas), it runs on Mon 28 Dec 2026 instead."
    )
    assert "Fri 25 Dec 2026, 02:00: closed (Christmas), it does not run." in warnings(
        nightly(OnClosed.SKIP, CHRISTMAS), now=THURSDAY
    )


DAYS = st.dates(date(2026, 1, 1), date(2027, 6, 1))
TIMES = st.none() | st.times().map(lambda at: at.replace(second=0, microsecond=0))


@st.composite
def entries(draw: st.DrawFn) -> Dates | Weekly:
    if draw(st.booleans()):
        begins = draw(TIMES)
        ends = None if begins is None else draw(TIMES.filter(bool))
        days = draw(st.sets(st.sampled_from(list(Weekday)), min_size=1, max_size=6))
        return Weekly(days=tuple(days), begins=begins if ends else None, ends=ends)
    first = draw(DAYS)
    yearly = draw(st.booleans()) and (first.month, first.day) != (2, 29)
    return Dates(first=first, last=first + draw(st.integers(0, 20)) * DAY, yearly=yearly)


def is_closed(entry: Dates | Weekly, at: datetime) -> bool:
    """A plain reading of an entry."""
    if isinstance(entry, Weekly):
        for day in (at.date(), at.date() - DAY):
            begin, end = (datetime.combine(day, each or time()) for each in (entry.begins, entry.ends))
            if list(Weekday)[day.weekday()] in entry.days and begin <= at < end + (DAY if end <= begin else 0 * DAY):
                return True
        return False
    length = (entry.last or entry.first) - entry.first
    firsts = [entry.first.replace(year=at.year - back) for back in (0, 1)] if entry.yearly else [entry.first]
    return any(first <= at.date() <= first + length for first in firsts)


@given(st.lists(entries(), max_size=6), DAYS, TIMES)
def test_it_is_closed_where_one_of_its_entries_is(found: list[Dates | Weekly], day: date, at: time | None) -> None:
    here = datetime.combine(day, at or time())
    closed = Closed(tuple(found))
    entry, opens = closed.at(here), closed.opens(here)
    assert (entry is not None) == any(is_closed(each, here) for each in found)
    assert entry is None or is_closed(entry, here)
    assert (opens > here) == (entry is not None)
    for part in range(20):
        between = here + part * (opens - here) / 20
        assert entry is None or any(is_closed(each, between) for each in found)


@given(
    st.lists(entries(), max_size=4), st.sampled_from(list(OnClosed)), DAYS, st.sampled_from(["UTC", "Europe/Berlin"])
)
def test_the_due_times_are_those_of_the_expression_and_those_that_moved(
    found: list[Dates | Weekly], then: OnClosed, begin: date, zone: str
) -> None:
    """Against a plain reading: every due time of a long time, and for each closed one a search day by day."""
    after = datetime.combine(begin, time(), UTC)
    until, closed = after + timedelta(days=40), Closed(tuple(found), then)
    plain, schedule = Cron("15 4,16 * * 1,3,5", zone), Cron("15 4,16 * * 1,3,5", zone, closed)
    around = takewhile(lambda at: at <= until + timedelta(days=40), due_times(plain, after=after - timedelta(days=40)))
    expected = set[datetime]()
    for at in around:
        here = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        expected.add(at)
        if not any(is_closed(entry, here) for entry in found) or then is OnClosed.SKIP:
            continue
        step = DAY if then is OnClosed.NEXT else -DAY
        for number in range(1, 32):
            there = here + number * step
            if not any(is_closed(entry, there) for entry in found):
                expected.add(there.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC))
                break
    got = list(takewhile(lambda at: at <= until, due_times(schedule, after=after)))
    assert got == sorted(at for at in expected if after < at <= until)
    still_open = [at for at in got if closing(schedule, at) is None][:5]
    assert next_due_times(schedule, after=after, count=5)[: len(still_open)] == still_open

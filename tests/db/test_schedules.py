"""When a task is due: a table of clock changes, and what holds for every schedule."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.schedules import (
    ALIASES,
    Cron,
    Manual,
    Once,
    ScheduleError,
    check_cron,
    check_zone,
    due_times,
    is_due_at,
    next_due_times,
)

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
SANTIAGO, APIA, KATHMANDU = "America/Santiago", "Pacific/Apia", "Asia/Kathmandu"
ZONES = ["UTC", BERLIN, NEW_YORK, LORD_HOWE, SANTIAGO, APIA, KATHMANDU]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Zone, expression, an instant, and the due times after it: "day hour:minute[:second]" in UTC.
CLOCK_CHANGES = [
    # In the gap, a fixed time moves to the next valid instant.
    (BERLIN, "30 2 * * *", "2027-03-27T12:00", ["28 01:00", "29 00:30"]),
    (BERLIN, "0 2,3 * * *", "2027-03-27T12:00", ["28 01:00", "29 00:00", "29 01:00"]),
    (BERLIN, "30 2 * * * 15", "2027-03-27T12:00", ["28 01:00:15", "29 00:30:15"]),
    (NEW_YORK, "30 2 * * *", "2027-03-14T05:00", ["14 07:00", "15 06:30"]),
    (LORD_HOWE, "15 2 * * *", "2026-10-03T14:00", ["03 15:30", "04 15:15"]),
    (SANTIAGO, "0 0 * * *", "2026-09-05T12:00", ["06 04:00", "07 03:00"]),
    (APIA, "0 12 * * *", "2011-12-28T23:00", ["29 22:00", "30 10:00", "30 22:00"]),
    # In the gap, a rhythm has nothing to repeat.
    (BERLIN, "0 * * * *", "2027-03-28T00:00", ["28 01:00", "28 02:00"]),
    (BERLIN, "*/15 * * * *", "2027-03-28T00:30", ["28 00:45", "28 01:00", "28 01:15"]),
    (NEW_YORK, "*/15 * * * *", "2027-03-14T06:30", ["14 06:45", "14 07:00", "14 07:15"]),
    (LORD_HOWE, "*/15 * * * *", "2026-10-03T15:00", ["03 15:15", "03 15:30", "03 15:45"]),
    (APIA, "0 * * * *", "2011-12-30T08:00", ["30 09:00", "30 10:00", "30 11:00"]),
    # In the fold, a fixed time fires on the first pass only.
    (BERLIN, "30 2 * * *", "2026-10-24T12:00", ["25 00:30", "26 01:30"]),
    (BERLIN, "30 2 * * * 15", "2026-10-24T12:00", ["25 00:30:15", "26 01:30:15"]),
    (BERLIN, "30 2 * * *", "2026-10-25T00:30", ["26 01:30"]),
    (NEW_YORK, "30 1 * * *", "2026-11-01T04:30", ["01 05:30", "02 06:30"]),
    (LORD_HOWE, "45 1 * * *", "2027-04-03T13:20", ["03 14:45", "04 15:15"]),
    (SANTIAGO, "30 23 * * *", "2027-04-02T20:00", ["03 02:30", "04 02:30", "05 03:30"]),
    # In the fold, a rhythm goes on.
    (BERLIN, "0 * * * *", "2026-10-24T23:30", ["25 00:00", "25 01:00", "25 02:00"]),
    (BERLIN, "*/15 * * * *", "2026-10-25T00:30", ["25 00:45", "25 01:00", "25 01:15"]),
    (NEW_YORK, "*/15 * * * *", "2026-11-01T05:30", ["01 05:45", "01 06:00", "01 06:15"]),
    (LORD_HOWE, "*/15 * * * *", "2027-04-03T14:30", ["03 14:45", "03 15:00", "03 15:15"]),
    (SANTIAGO, "0 * * * *", "2027-04-04T01:30", ["04 02:00", "04 03:00", "04 04:00"]),
    (BERLIN, "* * * * * */30", "2026-10-25T00:59:30", ["25 01:00", "25 01:00:30", "25 01:01"]),
    # Where the clock never changes, only the offset is odd.
    (KATHMANDU, "0 9 * * *", "2026-01-01T00:00", ["01 03:15", "02 03:15"]),
    (KATHMANDU, "*/15 * * * *", "2026-01-01T00:00", ["01 00:15", "01 00:30"]),
    (KATHMANDU, "0 * * * *", "2026-01-01T00:00", ["01 00:15", "01 01:15"]),
]


@pytest.mark.parametrize(("zone", "cron", "after", "expected"), CLOCK_CHANGES)
def test_when_the_clock_changes(zone: str, cron: str, after: str, expected: list[str]) -> None:
    found = next_due_times(Cron(cron, zone), after=utc(after), count=len(expected))
    assert [f"{at:%d %H:%M:%S}".removesuffix(":00") for at in found] == expected
    assert all(at.utcoffset() == timedelta(0) for at in found)


def test_the_fields_of_a_six_field_expression_end_with_seconds() -> None:
    found = next_due_times(Cron("30 4 1 2 * 7"), after=utc("2026-01-01"), count=2)
    assert found == [utc("2026-02-01T04:30:07"), utc("2027-02-01T04:30:07")]


@pytest.mark.parametrize(
    "expression",
    ["0 0 31 2 *", "59 23 31 2 *", "0 0 30-31 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 fri#1", "0 0 30 2 * 30"],
)
def test_an_expression_that_never_fires_is_refused_and_says_so(expression: str) -> None:
    with pytest.raises(ScheduleError, match="never fires") as refused:
        check_cron(expression)
    assert refused.value.field == "cron"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * * *", "five fields"),
        ("H * * * *", "not supported"),
        ("h(0-29) * * * *", "not supported"),
        ("R * * * *", "not supported"),
        ("0 0 * * r", "not supported"),
        ("0 0 15W * *", "not supported"),
        ("0 0 lw * *", "not supported"),
        ("@reboot", "Unknown alias"),
        ("@every_minute", "Unknown alias"),
        ("@", "Unknown alias"),
        ("60 * * * *", "Not a valid"),
        ("* 24 * * *", "Not a valid"),
        ("* * 0 * *", "Not a valid"),
        ("* * 32 * *", "Not a valid"),
        ("* * * 13 *", "Not a valid"),
        ("* * * * 8", "Not a valid"),
        ("* * * * * 60", "Not a valid"),
        ("*/0 * * * *", "Not a valid"),
        ("1,H * * * *", "Not a valid"),
        ("-1 * * * *", "Not a valid"),
        ("1.5 * * * *", "Not a valid"),
        ("noon * * * *", "Not a valid"),
        ("٣ * * * *", "Not a valid"),
        ("0 0 * * 1#6", "Not a valid"),
    ],
)
def test_what_is_no_expression_of_ours_is_refused_with_its_cure(expression: str, said: str) -> None:
    with pytest.raises(ScheduleError, match=said):
        check_cron(expression)


def test_white_space_is_folded_and_aliases_are_lowered() -> None:
    assert check_cron("  0\t2  * * * ") == "0 2 * * *"
    assert check_cron(" @DAILY ") == "@daily"


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_an_alias_is_due_when_its_expression_is(alias: str) -> None:
    after = utc("2026-01-01T00:30")
    assert next_due_times(Cron(alias), after=after, count=5) == next_due_times(
        Cron(ALIASES[alias]), after=after, count=5
    )


def test_an_unknown_zone_is_refused() -> None:
    assert check_zone("Asia/Kathmandu") == "Asia/Kathmandu"
    for name in ("Mars/Olympus", "europe/berlin", "", "localtime", "../../etc/passwd"):
        with pytest.raises(ScheduleError, match="Unknown time zone") as refused:
            check_zone(name)
        assert refused.value.field == "timezone"


def test_a_once_is_due_once_and_a_manual_never() -> None:
    at = datetime(2026, 5, 1, 12, tzinfo=ZoneInfo(BERLIN))
    assert list(due_times(Once(at), after=at - timedelta(seconds=1))) == [utc("2026-05-01T10:00")]
    assert list(due_times(Once(at), after=at)) == []
    assert list(due_times(Once(at), after=utc("2026-01-01"), starts_at=at + timedelta(seconds=1))) == []
    assert list(due_times(Once(at), after=utc("2026-01-01"), ends_at=at - timedelta(seconds=1))) == []
    assert list(due_times(Manual(), after=at)) == []


def test_the_start_and_the_end_are_due_times_themselves() -> None:
    start, end = utc("2026-01-01T10:00"), utc("2026-01-01T12:00")
    found = list(due_times(Cron("0 * * * *"), after=utc("2020-01-01"), starts_at=start, ends_at=end))
    assert found == [start, utc("2026-01-01T11:00"), end]


def test_leap_days_are_found_over_a_century_that_has_none() -> None:
    found = next_due_times(Cron("0 0 29 2 *"), after=utc("2095-01-01"), count=2)
    assert found == [utc("2096-02-29"), utc("2104-02-29")]


def one_field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    steps = st.integers(1, high).map(lambda step: f"*/{step}")
    lists = st.lists(number, min_size=1, max_size=3, unique=True).map(lambda ns: ",".join(map(str, sorted(ns))))
    return st.one_of(st.just("*"), lists, ranges, steps)


EXPRESSIONS = st.one_of(
    st.tuples(one_field(0, 59), one_field(0, 23), one_field(1, 28), one_field(1, 12), one_field(0, 6)),
    st.tuples(one_field(0, 59), one_field(0, 23), st.just("*"), st.just("*"), st.just("*"), one_field(0, 59)),
    st.tuples(
        one_field(0, 59), one_field(0, 23), st.sampled_from(["L", "31", "29", "L,1"]), one_field(1, 12), st.just("*")
    ),
    st.tuples(
        st.just("0"), one_field(0, 23), st.just("*"), one_field(1, 12), st.sampled_from(["L5", "fri#5", "mon#1"])
    ),
).map(" ".join)
INSTANTS = st.one_of(
    st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1990 < at.year < 2100),
    # Around the changes of the clocks of these zones.
    st.builds(
        lambda day, offset: utc(day) + offset,
        st.sampled_from(["2026-10-25", "2027-03-28", "2026-11-01", "2027-03-14", "2026-09-06", "2027-04-03"]),
        st.timedeltas(timedelta(hours=-12), timedelta(hours=12)),
    ),
)


def accepted(expression: str) -> bool:
    """Whether it is; another exception than the one that says why is not expected."""
    try:
        check_cron(expression)
    except ScheduleError:
        return False
    return True


@given(EXPRESSIONS.filter(accepted), st.sampled_from(ZONES), INSTANTS)
def test_due_times_come_later_and_later(expression: str, zone: str, after: datetime) -> None:
    found = list(islice(due_times(Cron(expression, zone), after=after), 40))
    assert found, "an accepted expression is always due again"
    assert all(one < other for one, other in pairwise([after, *found]))
    assert all(at.microsecond == 0 for at in found)


@given(EXPRESSIONS.filter(accepted), st.sampled_from(ZONES), INSTANTS, st.integers(0, 12))
def test_asking_after_a_due_time_gives_the_one_that_follows_it(
    expression: str, zone: str, after: datetime, skip: int
) -> None:
    schedule = Cron(expression, zone)
    found = next_due_times(schedule, after=after, count=skip + 3)
    assert next_due_times(schedule, after=found[skip], count=2) == found[skip + 1 :]
    between = found[skip] + (found[skip + 1] - found[skip]) / 2
    assert next_due_times(schedule, after=between, count=2) == found[skip + 1 :]
    assert is_due_at(schedule, found[skip])
    assert not is_due_at(schedule, between)


@given(
    EXPRESSIONS.filter(accepted),
    st.sampled_from(ZONES),
    INSTANTS,
    st.timedeltas(timedelta(days=-400), timedelta(days=400)),
    st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_a_window_only_leaves_out_what_is_outside(
    expression: str, zone: str, after: datetime, start: timedelta, length: timedelta
) -> None:
    schedule = Cron(expression, zone)
    starts_at, ends_at = after + start, after + start + length
    within = list(islice(due_times(schedule, after=after, starts_at=starts_at, ends_at=ends_at), 20))
    just_before = max(after, starts_at - timedelta(microseconds=1))
    assert within == [at for at in islice(due_times(schedule, after=just_before), 20) if at <= ends_at]


@given(st.text(st.sampled_from("0123456789*/,-#?LWHR @ymdfri"), max_size=24))
def test_whatever_is_typed_is_refused_in_words_or_fires(expression: str) -> None:
    if not accepted(expression):
        return
    checked = check_cron(expression)
    assert check_cron(checked) == checked
    assert len(next_due_times(Cron(checked, LORD_HOWE), after=utc("2026-10-01"), count=5)) == 5

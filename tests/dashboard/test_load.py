"""The load ahead adds up."""

from datetime import UTC, datetime, timedelta
from time import thread_time

from dashboard.load import UNKNOWN_SECONDS, load
from db.load import Alone, Shared

BEGIN = datetime(2026, 11, 25, tzinfo=UTC)
END = BEGIN + timedelta(days=1)
SPEC = {"name": "x", "kind": "shell", "action": {"command": "true"}}


def test_tasks_of_one_schedule_are_due_together() -> None:
    found = load([Shared("0 13 * * *", "UTC", 40, 3.0), Shared("0 * * * *", "UTC", 1, None)], [], begin=BEGIN, end=END)
    one = BEGIN + timedelta(hours=13)
    assert found.starts[one] == 41
    assert found.work_seconds[one] == 40 * 3 + UNKNOWN_SECONDS
    assert set(found.by_minute[one]) == {("0 13 * * *", "UTC"), ("0 * * * *", "UTC")}
    assert found.busiest(weighted=False)[:2] == [one, BEGIN]
    assert sum(found.starts.values()) == 40 + 24


def test_hours_are_the_sum_of_their_minutes() -> None:
    found = load([Shared("*/15 8 * * *", "UTC", 2, 1.0)], [], begin=BEGIN, end=END)
    assert found.by_hour(weighted=False) == {BEGIN + timedelta(hours=8): 8}
    assert found.by_hour(weighted=True) == {BEGIN + timedelta(hours=8): 8.0}


def test_a_schedule_with_seconds_is_due_several_times_in_a_minute() -> None:
    found = load([Shared("0 0 * * * */20", "UTC", 1, 1.0)], [], begin=BEGIN, end=END)
    assert found.starts == {BEGIN: 3}


def test_zones_meet_in_the_same_minute() -> None:
    found = load(
        [Shared("0 2 * * *", "Europe/Berlin", 1, 1), Shared("0 1 * * *", "UTC", 1, 1)], [], begin=BEGIN, end=END
    )
    assert found.starts == {BEGIN + timedelta(hours=1): 2}


def test_one_shots_and_bounds_count_for_themselves() -> None:
    once = {**SPEC, "schedule": {"kind": "once", "at": (BEGIN + timedelta(hours=5)).isoformat()}}
    ends = (BEGIN + timedelta(hours=2)).isoformat()
    bounded = {**SPEC, "schedule": {"kind": "cron", "cron": "0 * * * *", "timezone": "UTC"}, "ends_at": ends}
    found = load([], [Alone(once, 7.0), Alone(bounded, None)], begin=BEGIN, end=END)
    assert [at.hour for at in sorted(found.starts)] == [0, 1, 2, 5]
    assert found.work_seconds[BEGIN + timedelta(hours=5)] == 7


def test_a_week_of_every_second_is_counted_soon() -> None:
    begun = thread_time()
    every_second = {**SPEC, "schedule": {"kind": "cron", "cron": "* * * * * *", "timezone": "UTC"}}
    until = BEGIN + timedelta(days=7)
    bounded = Alone(every_second | {"ends_at": until.isoformat()}, 1.0)
    found = load([Shared("* * * * * *", "Europe/Berlin", 1, 1.0)], [bounded], begin=BEGIN, end=until)
    assert sum(found.starts.values()) == 2 * 7 * 24 * 3600
    assert thread_time() - begun < 10

"""Tasks of a busy minute go where it is quieter, and nothing but their minute changes."""

from collections import Counter
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.spreading import HOUR, NEAR, profile, propose
from db.load import Sharer
from db.schedules import check_cron
from tests.dashboard.test_load import BEGIN


def sharer(cron: str) -> Sharer:
    return Sharer(uuid4(), 3, "backup", cron, "UTC")


def busy(**amounts: float) -> list[float]:
    found = [0.0] * HOUR
    for minute, amount in amounts.items():
        found[int(minute.removeprefix("m"))] = amount
    return found


def test_the_first_keeps_its_minute_and_the_others_are_spread_near_it() -> None:
    found = propose([sharer("0 2 * * *") for _ in range(4)], busy(m0=4))
    assert [each.after for each in found] == ["1 2 * * *", "2 2 * * *", "3 2 * * *"]
    assert {(each.version, each.before) for each in found} == {(3, "0 2 * * *")}


def test_the_nearest_of_the_quietest_minutes_is_chosen() -> None:
    [found] = propose([sharer("30 * * * *")] * 2, busy(m30=9, m29=2, m31=1))
    assert found.after == "28 * * * *"


def test_an_even_step_gets_another_offset() -> None:
    found = propose(
        [sharer("*/5 * * * *") for _ in range(3)], [36.0 if minute % 5 == 0 else 0 for minute in range(HOUR)]
    )
    assert [each.after for each in found] == ["1-59/5 * * * *", "2-59/5 * * * *"]


@pytest.mark.parametrize("cron", ["* * * * *", "0,30 * * * *", "@daily", "0 2 * * * 15", "*/7 * * * *", "5-10 * * * *"])
def test_what_is_no_plain_minute_is_left_alone(cron: str) -> None:
    assert propose([sharer(cron)] * 3, busy(m0=99, m5=99, m30=99)) == []


@given(
    st.lists(st.sampled_from(["0 2 * * *", "7 * * * 1-5", "59 23 * * *", "*/10 * * * *", "*/30 8 1 * *", "1 * * * *"])),
    st.lists(st.integers(0, 50), min_size=HOUR, max_size=HOUR),
)
def test_only_minutes_change_and_no_minute_gets_worse_than_the_worst(crons: list[str], amounts: list[int]) -> None:
    found = propose([sharer(cron) for cron in crons], [float(amount) for amount in amounts])
    for each in found:
        assert check_cron(each.after) == each.after
        assert each.before.partition(" ")[2] == each.after.partition(" ")[2]
        minute = each.before.partition(" ")[0]
        if minute.isdecimal():
            assert abs(int(each.after.partition(" ")[0]) - int(minute)) <= NEAR


def test_the_profile_is_of_the_minutes_of_all_hours() -> None:
    found = profile(Counter({BEGIN: 3, BEGIN.replace(hour=4): 2, BEGIN.replace(minute=59): 1}))
    assert (found[0], found[59], sum(found)) == (5, 1, 6)

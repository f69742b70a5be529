"""A cron expression and its grid say the same."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dashboard.cron_grid import FIELDS, RANGES, CronGrid, labels, read
from db.schedules import Cron, ScheduleError, check_cron, next_due_times
from tests.crons import EXPRESSIONS

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SOME = {field: st.frozensets(st.sampled_from(RANGES[field]), max_size=len(RANGES[field]) - 1) for field in FIELDS}
GRIDS = st.builds(CronGrid, **SOME)


@given(GRIDS)
def test_what_is_written_is_read_back(grid: CronGrid) -> None:
    assert read(grid.cron()) == grid


@pytest.mark.parametrize(
    ("expression", "shortest"),
    [
        ("* * * * *", "* * * * *"),
        ("*/5 8-17 * * 1-5", "*/5 8-17 * * 1-5"),
        ("0,15,30,45 2 * * *", "*/15 2 * * *"),
        ("5,6,7,20 * * * *", "5-7,20 * * * *"),
        ("0 0 * * MON,7", "0 0 * * 0,1"),
        ("0 0 1 jan-mar *", "0 0 1 1-3 *"),
        ("@daily", "0 0 * * *"),
        ("0-59 * * * *", "* * * * *"),
        ("2-59/5 * * * *", "2,7,12,17,22,27,32,37,42,47,52,57 * * * *"),
    ],
)
def test_expressions_are_read_and_written_shortest(expression: str, shortest: str) -> None:
    grid = read(expression)
    assert grid is not None
    assert grid.cron() == shortest
    both = (Cron(check_cron(each), "Europe/Berlin") for each in (expression, shortest))
    due = [next_due_times(schedule, after=NOW, count=50) for schedule in both]
    assert due[0] == due[1]


@pytest.mark.parametrize(
    "expression", ["", "* *", "* * * * * 30", "0 0 L * *", "0 0 * * 5#2", "61 * * * *", "nonsense"]
)
def test_what_a_grid_cannot_show_is_left_alone(expression: str) -> None:
    assert read(expression) is None


def test_choosing_all_is_choosing_none() -> None:
    assert CronGrid().having("hours", range(24)) == CronGrid()
    assert CronGrid().having("hours", [3, 99]).cron() == "* 3 * * *"
    assert [word for _, word in labels("weekdays")][::6] == ["Mon", "Sun"]


@given(EXPRESSIONS)
@example("*,7 * * * *,mon")
@example("5,* */15,7 * * 1")
def test_any_expression_is_read_or_is_none_of_a_grid(expression: str) -> None:
    with suppress(ScheduleError):
        grid = read(check_cron(expression))
        assert grid is None or grid == read(check_cron(grid.cron()))

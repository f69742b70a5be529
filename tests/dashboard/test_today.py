"""The last day in figures and in a sentence."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard import today
from dashboard.today import SLICE, day, window
from db.overview import Count
from db.states import Outcome

NOW = datetime(2026, 11, 25, 12, 47, tzinfo=UTC)
WINDOW = window(NOW)


def counted(*counts: tuple[Outcome, int]) -> today.Day:
    return day(WINDOW, [Count(WINDOW.begin, outcome, late=False, count=count) for outcome, count in counts], [], {})


def test_the_window_begins_with_a_half_hour_a_day_ago_and_reaches_six_hours_ahead() -> None:
    assert WINDOW.begin == datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
    assert WINDOW.slices[-1] <= NOW + timedelta(hours=6) < WINDOW.slices[-1] + SLICE


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([], "Nothing was due in the last 24 hours."),
        ([(Outcome.RAN, 1)], "1 of 1 due time of the last 24 hours accounted for."),
        ([(Outcome.RAN, 1200), (Outcome.MISSED, 84)], "1,284 of 1,284 due times of the last 24 hours accounted for."),
        (
            [(Outcome.RAN, 7), (Outcome.PENDING, 2), (Outcome.UNKNOWN, 1)],
            "8 of 10 due times of the last 24 hours accounted for; 2 still wait, 1 is unknown.",
        ),
    ],
)
def test_the_sentence_names_the_exceptions(counts: list[tuple[Outcome, int]], said: str) -> None:
    assert today.sentence(counted(*counts)) == said


def test_each_due_time_is_in_one_bar() -> None:
    first, second = WINDOW.begin, WINDOW.begin + SLICE
    counts = [
        Count(first, Outcome.RAN, late=False, count=6),
        Count(first, Outcome.RAN, late=True, count=2),
        Count(first, Outcome.SKIPPED, late=False, count=1),
        Count(second, Outcome.RUNNING, late=False, count=1),
        Count(second, Outcome.PENDING, late=False, count=5),
    ]
    ahead = WINDOW.slices[-1]
    found = day(WINDOW, counts, [(first, 3)], {ahead: 4})
    assert (found.due, found.late, found.failed, found.waiting) == (15, 2, 3, 5)
    chart = today.chart(found, "UTC")
    well, trouble = chart["plots"]
    assert (well["highest"], trouble["highest"]) == (6, 6)
    assert well["bars"][0] == [["green", 1.0]]
    assert well["bars"][-1] == [["violet", 4 / 6]]
    assert trouble["bars"][0] == [["red", 0.5], ["orange", 2 / 6], ["gray", 1 / 6]]
    assert chart["titles"][0] == "12:30 to 13:00: 6 on time, 2 late, 3 failed, 1 not run"
    assert chart["titles"][2].endswith("nothing due")
    assert [tick["word"] for tick in chart["ticks"]][:2] == ["15:00", "18:00"]
    assert 0.79 < chart["now"] < 0.81

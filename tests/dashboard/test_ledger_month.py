"""A month of due times, day by day in the task's zone."""

from datetime import UTC, date, datetime, timedelta

from dashboard.ledger_month import Month, bounds, cell
from db.states import Outcome

BERLIN = "Europe/Berlin"
MARCH = Month(date(2026, 3, 1), BERLIN, today=date(2026, 3, 29))


def test_a_month_begins_and_ends_at_midnight_of_its_zone() -> None:
    assert MARCH.begin == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert MARCH.end == datetime(2026, 3, 31, 22, tzinfo=UTC)
    assert (MARCH.preceding, MARCH.following) == (date(2026, 2, 1), date(2026, 4, 1))
    assert Month(date(2026, 12, 1), BERLIN, MARCH.today).following == date(2027, 1, 1)
    assert len(MARCH.days) == 31


def test_a_day_on_which_the_clock_is_changed_is_as_long_as_it_is() -> None:
    begin, end = bounds(date(2026, 3, 29), BERLIN)
    assert end - begin == timedelta(hours=23) - timedelta(microseconds=1)


def test_a_cell_says_what_became_of_its_due_times() -> None:
    shown = cell(date(2026, 3, 29), {Outcome.RAN: 3, Outcome.MISSED: 1}, MARCH, chosen=date(2026, 3, 29))
    assert shown["parts"] == [["green", 0.75], ["orange", 0.25]]
    assert shown["title"] == "Sun 29 Mar: 3 ran, 1 missed"
    assert (shown["count"], shown["chosen"], shown["today"]) == ("4", True, True)
    assert cell(date(2026, 3, 2), {}, MARCH, chosen=None)["title"] == "Mon 02 Mar: not due"

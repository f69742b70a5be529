"""Records: never early, and never locked for long."""

from datetime import UTC, datetime, timedelta
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import records
from flows.records import HELD_AT_MOST, ClockSetBack, instant_not_before

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 0.01))
def test_the_instant_is_never_before_the_due_time_and_hardly_after(seconds: float) -> None:
    due_at = records.now() + timedelta(seconds=seconds)
    assert due_at <= instant_not_before(due_at) < due_at + timedelta(seconds=1)


def test_what_is_due_already_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.records.time.sleep", None)
    monkeypatch.setattr(records, "now", lambda: NOON)
    assert instant_not_before(NOON - timedelta(days=1)) == NOON


def test_a_clock_that_is_set_back_meanwhile_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    instants = chain([NOON - HELD_AT_MOST / 2], repeat(NOON - timedelta(hours=1)))
    monkeypatch.setattr(records, "now", lambda: next(instants))
    with pytest.raises(ClockSetBack):
        instant_not_before(NOON)

"""The delay before another attempt, which is pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.states import Backoff
from flows.retries import LONGEST_DELAY_SECONDS, delay_before

MIDDLE = 0.5


@pytest.mark.parametrize("number", [2, 3, 50])
def test_a_constant_delay_is_the_same_before_every_attempt(number: int) -> None:
    assert delay_before(number, retry_delay_seconds=10, backoff=Backoff.CONSTANT, luck=MIDDLE) == 10


def test_an_exponential_delay_starts_as_given_and_doubles() -> None:
    delays = [delay_before(n, retry_delay_seconds=10, backoff=Backoff.EXPONENTIAL, luck=MIDDLE) for n in (2, 3, 4, 5)]
    assert delays == [10, 20, 40, 80]


@pytest.mark.parametrize("number", [20, 101, 10_000])
def test_an_exponential_delay_is_never_longer_than_a_day(number: int) -> None:
    delay = delay_before(number, retry_delay_seconds=10, backoff=Backoff.EXPONENTIAL, luck=MIDDLE)
    assert delay == LONGEST_DELAY_SECONDS


@given(
    number=st.integers(2, 101),
    seconds=st.integers(0, 7 * 24 * 3600),
    backoff=st.sampled_from(Backoff),
    luck=st.floats(0, 1, exclude_max=True),
)
def test_luck_moves_a_delay_by_a_tenth_at_most(number: int, seconds: int, backoff: Backoff, luck: float) -> None:
    plain = delay_before(number, retry_delay_seconds=seconds, backoff=backoff, luck=MIDDLE)
    delay = delay_before(number, retry_delay_seconds=seconds, backoff=backoff, luck=luck)
    assert plain * 0.9 - 1e-6 <= delay <= plain * 1.1 + 1e-6


def test_tasks_that_failed_together_do_not_return_together() -> None:
    delays = {delay_before(2, retry_delay_seconds=10, backoff=Backoff.CONSTANT, luck=n / 10) for n in range(10)}
    assert len(delays) == 10

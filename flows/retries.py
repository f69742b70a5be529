"""Retries: how long an attempt that follows a failed one waits. Pure."""

from db.states import Backoff

LONGEST_DELAY_SECONDS = 24 * 3600.0
JITTER = 0.1
"""The part of the delay by which it may differ either way, so that tasks that failed together don't return together."""


def delay_before(attempt: int, *, retry_delay_seconds: float, backoff: Backoff, luck: float) -> float:
    """Seconds between the end of an attempt and the start of this one, which is number 2 or higher.

    `luck` is a random number in [0, 1).
    """
    delay = retry_delay_seconds
    if backoff is Backoff.EXPONENTIAL:
        # Doubling is bounded before it is done: 2 ** 100 attempts would be no float any more.
        delay = min(delay * 2.0 ** min(attempt - 2, 64), LONGEST_DELAY_SECONDS)
    return delay * (1 + JITTER * (2 * luck - 1))

"""Deadlines: until when the work that is being done has to be over, known to every call that it makes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

_ENDS: ContextVar[float] = ContextVar("ends", default=float("inf"))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done in the block has at most this long, and never longer than the block around it."""
    token = _ENDS.set(min(_ENDS.get(), monotonic() + seconds))
    try:
        yield
    finally:
        _ENDS.reset(token)


def remaining(at_most: float | None = None) -> float:
    """The seconds that are left, not more than `at_most`; negative when the time is over."""
    left = _ENDS.get() - monotonic()
    return left if at_most is None else min(left, at_most)

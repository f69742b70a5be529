"""Deadlines: until when the work that is being done has to be over, known to every call that it makes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic

from db.errors import Unavailable


class TookTooLong(Unavailable):
    """Work was not over when it should have been; what it did is done, and it goes on another time."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} takes longer than its {seconds:g} s, and goes on another time")


@dataclass(frozen=True, slots=True)
class _Deadline:
    ends: float = float("inf")
    what: str = ""
    seconds: float = float("inf")


_NONE = _Deadline()
_DEADLINE: ContextVar[_Deadline] = ContextVar("deadline", default=_NONE)


@contextmanager
def within(seconds: float, what: str = "This") -> Iterator[None]:
    """What is done in the block has at most this long, and never longer than the block around it."""
    ends, around = monotonic() + seconds, _DEADLINE.get()
    token = _DEADLINE.set(_Deadline(ends, what, seconds) if ends < around.ends else around)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def remaining(at_most: float | None = None) -> float:
    """The seconds that are left, not more than `at_most`; negative when the time is over."""
    left = _DEADLINE.get().ends - monotonic()
    return left if at_most is None else min(left, at_most)


def check() -> None:
    """There is time left.

    Raises:
        TookTooLong.
    """
    deadline = _DEADLINE.get()
    if monotonic() > deadline.ends:
        raise TookTooLong(deadline.what, deadline.seconds)

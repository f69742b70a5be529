"""Waiting for what is going to be true, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T], description: str, *, seconds: float = 30, every: float = 0.1) -> T:
    """What `look` answers once it answers something true; fails with the description when it never does."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {description} (the last answer was {found!r})"
        time.sleep(every)

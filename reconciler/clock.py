"""The reconciler's clock, by which every pass is made, and the counter by which its lease runs out."""

import time

from db.clock import Clock

CLOCK = Clock()
now = CLOCK.now
_COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def counter() -> float:
    """Seconds, also those for which the machine sleeps, where the system counts them."""
    return time.clock_gettime(_COUNTER)

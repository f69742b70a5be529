"""The roster is read by another process, and costs nothing once nobody needs it any more."""

import gc
import os
from pathlib import Path

from flows import roster
from flows.roster import Roster


def test_who_is_held_is_on_it_for_as_long() -> None:
    own = Roster()
    with own.holding(7), own.holding(8):
        assert roster.read(own.descriptor) == {7, 8}
    assert roster.read(own.descriptor) == set()


def test_what_is_not_needed_any_more_has_no_descriptor() -> None:
    def descriptors() -> int:
        gc.collect()
        return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))

    before = descriptors()
    for number in range(50):
        with Roster().holding(number + 1):
            pass
    assert descriptors() <= before

"""The roster: the process groups that a worker runs, written where whoever is to end them can read it after its death.

It is memory shared with that process: to note a group costs no call, and wakes nobody.
"""

import mmap
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

PLACES = 65_536
_BYTES = 4


class Roster:
    """The groups that are running; `descriptor` is what the other process reads."""

    def __init__(self) -> None:
        """Raises OSError when there are no more descriptors."""
        self.descriptor = os.memfd_create("duetime-roster")
        weakref.finalize(self, os.close, self.descriptor)
        os.ftruncate(self.descriptor, PLACES * _BYTES)
        self._groups = memoryview(mmap.mmap(self.descriptor, PLACES * _BYTES)).cast("I")
        self._fresh, self._free = iter(range(PLACES)), list[int]()

    @contextmanager
    def holding(self, group: int) -> Iterator[None]:
        """Has the group on the roster for as long as the block takes."""
        place = self._free.pop() if self._free else next(self._fresh)
        self._groups[place] = group
        try:
            yield
        finally:
            self._groups[place] = 0
            self._free.append(place)


def read(descriptor: int) -> set[int]:
    """The groups that are on the roster of this descriptor."""
    groups = memoryview(os.pread(descriptor, PLACES * _BYTES, 0)).cast("I")
    return set(groups) - {0}

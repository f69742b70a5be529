"""The wish to stop, as signals tell it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(SystemExit):
    """Ends what would take long, when somebody wants to stop."""


class Stopping:
    """Set once by the first signal and never taken back; signals after it change nothing."""

    def __init__(self) -> None:
        self._requested, self._interrupts = threading.Event(), False

    def listen(self) -> None:
        """To be called in the main thread."""
        for signum in SIGNALS:
            signal.signal(signum, lambda *_: self.request())

    def request(self) -> None:
        already = self._requested.is_set()
        self._requested.set()
        if self._interrupts and not already:
            raise StopRequested

    @property
    def requested(self) -> bool:
        return self._requested.is_set()

    def wait(self, seconds: float) -> bool:
        """Returns early, and True, when it is requested."""
        return self._requested.wait(seconds)

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """Only in this block does a signal raise StopRequested: elsewhere it could tear a process from its record."""
        self._interrupts = True
        try:
            if self.requested:
                raise StopRequested
            yield
        finally:
            self._interrupts = False

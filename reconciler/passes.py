"""A pass: work that is made again and again by the reconciler that leads, in a thread of its own.

So no pass waits for another one: what fails is tried again by itself after a growing pause, what is slow is slow alone.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from db import loops
from db.sqlstates import is_missing_partition
from reconciler import deadlines
from reconciler.clock import now
from reconciler.deadlines import within
from reconciler.lease import Lease, LeaseLost

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
STUCK_FACTOR = 3
"""A pass that takes so many times as long as it may is stuck: another process takes over."""


@dataclass(slots=True)
class Pass:
    """What is made, how often, and how long it may take."""

    name: str
    every_seconds: float
    action: Callable[[], object]
    budget_seconds: float = 20.0
    share: float = 1.0
    """The part of the time that it may take: a long pass is made less often."""
    goes_on: bool = False
    """Whether it is made again at once when its action returns something true."""
    alone: AbstractContextManager[object] = field(default_factory=nullcontext)
    """Held while it is made: passes that do the same work take turns."""
    wake: threading.Event = field(default_factory=threading.Event)
    next_at: float = 0.0
    began_at: float | None = None
    made_at: datetime | None = None
    """When it was last made to its end."""
    _term: int = 0
    _is_hinted: bool = False

    def loop(self, lease: Lease, *, on_missing_month: Callable[[], None]) -> loops.ThreadLoop:
        """What makes it, as long as this process leads."""

        def step() -> None:
            try:
                self.make_if_due(lease)
            except LeaseLost as error:
                log.info("%s", error)
            except Exception as error:
                if is_missing_partition(error):
                    on_missing_month()
                raise

        return loops.ThreadLoop(f"reconciler.{self.name}", step, pause_seconds=LOOK_SECONDS, wake=self.wake)

    def make_if_due(self, lease: Lease) -> None:
        """Makes it, if this process leads and it is time.

        Raises:
            TookTooLong, and whatever is raised.
        """
        if not lease.leads:
            return
        if self._is_hinted or lease.term != self._term or monotonic() >= self.next_at:
            with self.alone:
                self._term, self._is_hinted = lease.term, False
                self._make()

    def _make(self) -> None:
        started = self.began_at = monotonic()
        try:
            with within(self.budget_seconds, f"Pass {self.name}"):
                goes_on = self.action() and self.goes_on
                self.next_at = self._next_at(monotonic() - started, pause=0.0 if goes_on else self.every_seconds)
                self.made_at = now()
                deadlines.check()
        finally:
            self.began_at = None

    def _next_at(self, took: float, *, pause: float) -> float:
        pause = max(pause, took / self.share if self.share < 1 else 0.0)
        if pause == 0:
            self.wake.set()
        return monotonic() + pause

    def hint(self) -> None:
        """It is made now, whenever it was made last."""
        self._is_hinted = True
        self.wake.set()

    @property
    def is_stuck(self) -> bool:
        """Whether it should have ended long ago."""
        began = self.began_at
        return began is not None and monotonic() - began > STUCK_FACTOR * self.budget_seconds

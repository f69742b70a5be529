"""The lease: which reconciler does the work, and for how long everything has gone on evenly.

It is renewed by a thread of its own, so that a long pass does not cost it; but not while a pass is stuck, nor while
Prefect answers another reconciler and not this one. Who has lost it writes nothing any more: each transaction of a pass
looks whether it is held, and so does each call that changes something in Prefect.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from db import heartbeats, loops
from db.engine import Catalogue
from db.errors import CatalogueUnavailable, Unavailable
from reconciler.clock import CLOCK, counter, now

log = logging.getLogger(__name__)

RENEW_SECONDS = 1.0
EVEN_WITHIN = timedelta(seconds=5)
LEFT_AT_LEAST_SECONDS = 3.0
"""Of the lease, before a call to Prefect that changes something: nothing ends it once it is on its way."""
CUT_OFF_SECONDS = 30.0
"""After so long without an answer of Prefect's, another reconciler may do better."""


class LeaseLost(Unavailable):
    """Another reconciler may lead: this one leaves everything as it is."""

    def __init__(self) -> None:
        super().__init__("This reconciler does not lead any more. What it was about to do is left to the one that does")


def nothing_is_stuck() -> str | None:
    return None


@dataclass(slots=True)
class Lease:
    """Held by one process at a time."""

    catalogue: Catalogue
    stuck: Callable[[], str | None] = nothing_is_stuck
    """The name of a pass that does not end."""
    silent_since: Callable[[], float | None] = lambda: None
    """Since when Prefect has not answered, by the counter."""
    holder: UUID = field(default_factory=uuid4)
    term: int = 0
    """Counts the times that it began to lead."""
    _is_held: bool = False
    _steady_since: float = field(default_factory=lambda: counter())
    _renewed_at: float = field(default_factory=lambda: counter())

    @property
    def leads(self) -> bool:
        return self._is_held and self.left_seconds > 0

    @property
    def left_seconds(self) -> float:
        """For how long nobody else takes it, if it is held."""
        return self._renewed_at + heartbeats.LEASE.total_seconds() - counter()

    @property
    def steady_seconds(self) -> float:
        """For how long nothing has stood still: no clock was set, no machine slept, PostgreSQL was there.

        Whoever was not heard of for as long had every chance to be.
        """
        return min(counter() - self._steady_since, self._silence())

    def _silence(self) -> float:
        """Infinity; or 0 from when PostgreSQL should have answered and did not."""
        return float("inf") if self.left_seconds >= 0 else 0.0

    def must_hold(self, session: Session) -> None:
        """Nobody else gets the lease before this transaction ends.

        Raises:
            LeaseLost.
        """
        if not (self._is_held and heartbeats.holds(session, heartbeats.RECONCILER, self.holder)):
            raise LeaseLost

    def must_last(self) -> None:
        """The lease is held for longer than it takes to send something.

        Raises:
            LeaseLost.
        """
        if not self._is_held or self.left_seconds < LEFT_AT_LEAST_SECONDS:
            raise LeaseLost

    def loop(self) -> loops.ThreadLoop:
        """What renews it, or tries to get it."""
        return loops.ThreadLoop("reconciler.lease", self.renew, pause_seconds=RENEW_SECONDS)

    def renew(self) -> None:
        """Raises CatalogueUnavailable."""
        asked_at = counter()
        try:
            with self.catalogue.transaction() as session:
                jump = CLOCK.compare(session)
                holds = self._hold(session)
        except CatalogueUnavailable:
            self._is_held, self._steady_since = False, counter()
            raise
        except BaseException:
            self._is_held = False
            raise
        if abs(jump) > EVEN_WITHIN or self._silence() == 0:
            self._steady_since = counter()
        self._renewed_at = asked_at
        if holds and not self._is_held:
            self.term += 1
            log.info("This reconciler leads")
        self._is_held = holds

    def _hold(self, session: Session) -> bool:
        if (stuck := self.stuck()) is not None:
            self._say(f"Pass {stuck} does not end")
            return False
        if self._is_cut_off() and heartbeats.another_sees_prefect(session, self.holder, now=now()):
            self._say("Prefect answers another reconciler and not this one")
            heartbeats.release_lease(session, heartbeats.RECONCILER, self.holder, now=now())
            return False
        return heartbeats.hold_lease(session, heartbeats.RECONCILER, self.holder, now=now())

    def _is_cut_off(self) -> bool:
        since = self.silent_since()
        return since is not None and counter() - since > CUT_OFF_SECONDS

    def _say(self, why: str) -> None:
        if self._is_held:
            log.warning("%s: this reconciler gives up its lease", why)

    def release(self) -> None:
        """Gives it up: another process need not wait for its end. Raises CatalogueUnavailable."""
        self._is_held = False
        with self.catalogue.transaction() as session:
            heartbeats.release_lease(session, heartbeats.RECONCILER, self.holder, now=now())

"""The lease: which reconciler does the work, and for how long everything has gone on evenly.

It is renewed by a thread of its own, so that a long pass does not cost it; but only while passes are made: a process
that is stuck loses it to another one.
"""

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from uuid import UUID, uuid4

from db import heartbeats
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from reconciler.clock import CLOCK, now

log = logging.getLogger(__name__)

RENEW_SECONDS = 1.0
STUCK_AFTER_SECONDS = 60.0
"""Longer than any call of a pass may take before it is given up."""
EVEN_WITHIN = timedelta(seconds=5)


@dataclass(slots=True)
class Lease:
    """Held by one process at a time."""

    catalogue: Catalogue
    holder: UUID = field(default_factory=uuid4)
    leads: bool = False
    _steady_since: float = field(default_factory=lambda: monotonic())
    _renewed_at: float = field(default_factory=lambda: monotonic())
    _progress_at: float = field(default_factory=lambda: monotonic())
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> "Lease":
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Gives it up: another process need not wait for its end."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(CatalogueUnavailable), self.catalogue.transaction() as session:
            heartbeats.release_lease(session, heartbeats.RECONCILER, self.holder, now=now())

    def note_progress(self) -> None:
        """A pass has been made."""
        self._progress_at = monotonic()

    @property
    def steady_seconds(self) -> float:
        """For how long nothing has stood still: no clock was set, no machine slept, PostgreSQL was there.

        Whoever was not heard of for as long had every chance to be.
        """
        return min(monotonic() - self._steady_since, self._silence())

    def _silence(self) -> float:
        """Infinity; or 0 from when PostgreSQL should have answered and did not."""
        late = monotonic() - self._renewed_at > heartbeats.LEASE.total_seconds()
        return 0.0 if late else float("inf")

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.renew()
            except CatalogueUnavailable:
                self.leads, self._steady_since = False, monotonic()
            except Exception:
                log.exception("The lease could not be renewed; it is tried again")
                self.leads = False
            self._stopped.wait(RENEW_SECONDS)

    def renew(self) -> None:
        """Raises CatalogueUnavailable."""
        stuck = monotonic() - self._progress_at > STUCK_AFTER_SECONDS
        with self.catalogue.transaction() as session:
            jump = CLOCK.compare(session)
            leads = not stuck and heartbeats.hold_lease(session, heartbeats.RECONCILER, self.holder, now=now())
        if abs(jump) > EVEN_WITHIN or self._silence() == 0:
            self._steady_since = monotonic()
        self._renewed_at, self.leads = monotonic(), leads

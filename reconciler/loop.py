"""The loop: who leads, how often each pass is made, and what happens when something does not answer."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from uuid import UUID, uuid4

from db import heartbeats, idempotency, partitions, workers
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.notifications import Listener, Topic
from reconciler import due_times, runs, tasks
from reconciler.auditing import Auditor
from reconciler.clock import CLOCK, now
from reconciler.prefect import Prefect, PrefectUnavailable
from reconciler.workers import declare_lost

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
EVEN_WITHIN = timedelta(seconds=5)
EVERYTHING_AT_MOST = 0.1
"""The comparison of everything takes at most this part of the time, however much there is."""


@dataclass(slots=True)
class Every:
    """A pass that is made again after some seconds."""

    seconds: float
    action: Callable[[], object]
    next_at: float = 0.0
    share: float = 1.0
    """The part of the time that it may take: a long pass is made less often."""

    def run_if_due(self) -> None:
        started = monotonic()
        if started < self.next_at:
            return
        self.action()
        took = monotonic() - started
        self.next_at = monotonic() + max(self.seconds, took / self.share if self.share < 1 else 0)


@dataclass(slots=True)
class Reconciler:
    """One process of possibly several; the one that holds the lease does the work."""

    catalogue: Catalogue
    prefect: Prefect
    auditor: Auditor | None = None
    wake: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Makes passes until it is stopped. Whatever does not answer is waited for."""
        listener = Listener(self.catalogue.url, self._hear).start()
        passes = self._passes()
        holder, leading, answering = uuid4(), False, True
        while not self.stopped.is_set():
            try:
                leads, continuous = self._hold_lease(holder)
                if leads and not (leading and continuous):
                    log.info("This reconciler leads")
                    passes = self._passes()
                leading = leads
                if leading:
                    self.one_pass(passes)
                answering = self._answered(answering)
            except CatalogueUnavailable as error:
                # Nobody could beat or renew a lease meanwhile: whoever leads next begins as if it were new.
                leading, answering = False, self._away(error, answering)
            except PrefectUnavailable as error:
                answering = self._away(error, answering)
            except Exception:
                log.exception("A pass failed; the next one tries again")
            self._rest()
        self._end(holder)
        listener.stop()

    def _end(self, holder: UUID) -> None:
        with suppress(CatalogueUnavailable), self.catalogue.transaction() as session:
            heartbeats.release_lease(session, heartbeats.RECONCILER, holder, now=now())
        if self.auditor is not None:
            self.auditor.close()

    def _answered(self, before: bool) -> bool:
        if not before:
            log.info("Everything answers again")
        return True

    def _away(self, error: Exception, before: bool) -> bool:
        if before:
            log.warning("%s Waiting for it.", error)
        return False

    def one_pass(self, passes: list[Every]) -> None:
        """Every pass that is due, once; those on the catalogue alone first, so that they go on without Prefect."""
        for each in passes:
            each.run_if_due()

    def stop(self) -> None:
        """Ends the loop after the pass that is being made."""
        self.stopped.set()
        self.wake.set()

    def _hear(self, topics: frozenset[str]) -> None:
        if topics & {Topic.SYNC, Topic.CANCEL, Topic.EVERYTHING}:
            self.wake.set()

    def _rest(self) -> None:
        self.wake.wait(PAUSE_SECONDS)
        self.wake.clear()

    def _hold_lease(self, holder: UUID) -> tuple[bool, bool]:
        """Whether this process leads, and whether time has gone on evenly since it was asked last.

        It has not where a clock was set or the machine slept: then the others had no chance to be heard of, either.
        """
        with self.catalogue.transaction() as session:
            jump = CLOCK.compare(session)
            return heartbeats.hold_lease(session, heartbeats.RECONCILER, holder, now=now()), abs(jump) < EVEN_WITHIN

    def _passes(self) -> list[Every]:
        # A worker is not lost because the catalogue was away and nobody could beat: everybody gets the time to.
        grace = monotonic() + workers.LOST_AFTER.total_seconds()
        follow = Every(2, self._follow_runs)

        def deploy_changes() -> None:
            if tasks.deploy_changes(self.catalogue, self.prefect):
                follow.next_at = 0.0  # what was just created may be due in a moment

        return [
            Every(1, lambda: tasks.resume_tasks(self.catalogue)),
            Every(1, lambda: due_times.write_ahead(self.catalogue, now=now())),
            Every(5, lambda: declare_lost(self.catalogue, now=now()), next_at=grace),
            Every(60, self._audit),
            Every(3600, self._tidy),
            Every(0, deploy_changes),
            Every(0, lambda: runs.make_requested(self.catalogue, self.prefect, now=now())),
            Every(0, lambda: runs.cancel_requested(self.catalogue, self.prefect, now=now())),
            follow,
            Every(5, lambda: runs.tell_prefect(self.catalogue, self.prefect, now=now())),
            Every(5, lambda: tasks.reconcile_everything(self.catalogue, self.prefect), share=EVERYTHING_AT_MOST),
        ]

    def _follow_runs(self) -> None:
        at = now()
        scheduled = runs.upcoming(self.prefect, now=at)
        due_times.serve(self.catalogue, self.prefect, scheduled, now=at)
        due_times.clear(self.catalogue, self.prefect, scheduled, now=at)
        recent = runs.recent(self.prefect, since=at - timedelta(seconds=90))
        runs.observe(self.catalogue, [*scheduled, *recent], now=at)
        with self.catalogue.transaction() as session:
            heartbeats.beat(session, heartbeats.PREFECT, now=at)

    def _audit(self) -> None:
        if self.auditor is not None:
            self.auditor.audit_beside()

    def _tidy(self) -> None:
        with self.catalogue.transaction() as session:
            partitions.ensure_partitions(session, now=now())
            idempotency.forget_old(session, now=now())

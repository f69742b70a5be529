"""The loop: who leads, how often each pass is made, and what happens when something does not answer."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from db import chains, events, heartbeats, idempotency, partitions, trials, workers
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.notifications import Listener, Topic
from reconciler import due_times, runs, tasks
from reconciler.auditing import Auditor
from reconciler.clock import now
from reconciler.comparison import Comparison
from reconciler.housekeeper import Housekeeper
from reconciler.lease import Lease
from reconciler.messenger import Messenger
from reconciler.prefect import Prefect, PrefectUnavailable
from reconciler.sight import Sight
from reconciler.workers import declare_lost

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 5
EVENTS_AT_ONCE = 50_000
EVERYTHING_SECONDS = 5.0
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
    lease: Lease = field(init=False)
    housekeeper: Housekeeper = field(init=False)

    def __post_init__(self) -> None:
        self.lease, self.housekeeper = Lease(self.catalogue), Housekeeper(self.catalogue)

    def run(self) -> None:
        """Makes passes until it is stopped. Whatever does not answer is waited for."""
        listener = Listener(self.catalogue.url, self._hear).start()
        messenger = Messenger(self.catalogue, leads=lambda: self.lease.leads).start()
        self.lease.start()
        self._work()
        messenger.stop()
        self._end()
        listener.stop()

    def _work(self) -> None:
        passes, leading, answering = self._passes(), False, True
        while not self.stopped.is_set():
            try:
                if self.lease.leads and not leading:
                    log.info("This reconciler leads")
                    passes = self._passes()
                leading = self.lease.leads
                if leading:
                    self.one_pass(passes)
                    answering = self._answered(answering)
            except CatalogueUnavailable as error:
                leading, answering = False, self._away(error, answering)
            except PrefectUnavailable as error:
                answering = self._away(error, answering)
            except Exception:
                log.exception("A pass failed; the next one tries again")
            self.lease.note_progress()
            self._rest()

    def _end(self) -> None:
        self.lease.stop()
        self.housekeeper.close()
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

    def _passes(self) -> list[Every]:
        sight = Sight(self.catalogue, self.prefect)
        follow = Every(2, lambda: self._follow_runs(sight))

        def deploy_changes() -> None:
            if tasks.deploy_changes(self.catalogue, self.prefect):
                follow.next_at = 0.0  # what was just created may be due in a moment
                self.wake.set()  # there may be more than one pass had time for

        comparison = Comparison(self.catalogue, self.prefect)

        def compare_a_slice() -> None:
            everything.seconds = EVERYTHING_SECONDS if comparison.step() else 0

        everything = Every(EVERYTHING_SECONDS, compare_a_slice, share=EVERYTHING_AT_MOST)
        return [
            Every(1, lambda: tasks.resume_tasks(self.catalogue)),
            Every(1, lambda: due_times.write_ahead(self.catalogue, now=now())),
            Every(5, self._declare_lost),
            Every(5, self._end_trials),
            Every(60, self._audit),
            Every(60, self._forget_events),
            Every(HOUSEKEEPING_SECONDS, self.housekeeper.look_beside),
            Every(3600, self._tidy),
            Every(0, deploy_changes),
            Every(0, self._follow_chains),
            Every(0, lambda: runs.make_requested(self.catalogue, self.prefect, now=now())),
            Every(0, lambda: runs.cancel_requested(self.catalogue, self.prefect, now=now())),
            follow,
            Every(5, lambda: runs.tell_prefect(self.catalogue, self.prefect, now=now())),
            everything,
        ]

    def _declare_lost(self) -> None:
        # A worker is not lost because nobody could beat: everybody gets the time to.
        if self.lease.steady_seconds > workers.LOST_AFTER.total_seconds():
            declare_lost(self.catalogue, now=now())

    def _follow_runs(self, sight: Sight) -> None:
        scheduled = sight.upcoming(now=now())
        with self.catalogue.transaction() as session:
            heartbeats.beat(session, heartbeats.PREFECT, now=now())
        due_times.serve(self.catalogue, self.prefect, scheduled, now=now())
        due_times.clear(self.catalogue, self.prefect, scheduled, now=now())
        recent = sight.recent(since=now() - timedelta(seconds=90))
        runs.observe(self.catalogue, [*scheduled, *recent], now=now())

    def _audit(self) -> None:
        if self.auditor is not None:
            self.auditor.audit_beside()

    def _follow_chains(self) -> None:
        with self.catalogue.transaction() as session:
            chains.follow(session, now=now())

    def _end_trials(self) -> None:
        with self.catalogue.transaction() as session:
            trials.end_those_over(session, now=now())

    def _forget_events(self) -> None:
        with self.catalogue.transaction() as session:
            events.forget(session, before=now() - events.KEPT, limit=EVENTS_AT_ONCE)

    def _tidy(self) -> None:
        with self.catalogue.transaction() as session:
            partitions.ensure_partitions(session, now=now())
            idempotency.forget_old(session, now=now())

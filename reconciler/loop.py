"""The reconciler: its passes, and who makes them."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from db import (
    chains,
    events,
    heartbeats,
    idempotency,
    loops,
    notification_queue,
    partitions,
    retention,
    set_aside,
    workers,
)
from db import due_times as ledger
from db.connections import Limits
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.loop_failures import Reporter
from db.notifications import Listener, Topic
from reconciler import due_times, runs, tasks
from reconciler.aside import Asides
from reconciler.auditing import Auditor
from reconciler.clock import now
from reconciler.comparison import Comparison
from reconciler.deadlines import within
from reconciler.following import Following
from reconciler.lease import Lease
from reconciler.passes import Pass
from reconciler.posting import Posting
from reconciler.prefect import MARKER, Prefect
from reconciler.telling import Telling
from reconciler.workers import declare_lost

log = logging.getLogger(__name__)

PATIENT = Limits(statement_seconds=60.0, lock_seconds=4.0, idle_in_transaction_seconds=60.0, call_seconds=65.0)
"""For the audit, which computes between two statements, and for removing what is old: nobody waits for them."""
HOUR = 3600.0
LOOKS_AT_PREFECT_SECONDS = 5.0
EVENTS_AT_ONCE = 50_000
EVERYTHING_AT_MOST = 0.1
"""The comparison of everything takes at most this part of the time, however much there is."""
STOPS_WITHIN_SECONDS = 8.0


@dataclass(slots=True)
class Reconciler:
    """One process of possibly several; the one that holds the lease makes the passes."""

    catalogue: Catalogue
    prefect: Prefect
    ping_url: str | None = None
    """Who is told every minute that all is well."""
    stopped: threading.Event = field(default_factory=threading.Event)
    asides: Asides = field(default_factory=Asides)
    lease: Lease = field(init=False)
    passes: list[Pass] = field(init=False)
    _own: Catalogue = field(init=False)
    """For the lease, which waits for nobody."""
    _patient: Catalogue = field(init=False)
    _loops: list[loops.ThreadLoop] = field(init=False, default_factory=list)
    _beside: list[Listener | Reporter | Posting | Telling] = field(init=False, default_factory=list)
    _people: Telling = field(init=False)
    _webhooks: Posting = field(init=False)

    def __post_init__(self) -> None:
        url = self.catalogue.url
        self._own = Catalogue(url, pool_size=3, application_name="duetime-lease")
        self._patient = Catalogue(url, pool_size=2, application_name="duetime-reconciler", limits=PATIENT)
        self.lease = Lease(self._own, self._stuck, lambda: self.prefect.silent_since)
        self.prefect.may_write = self.lease.must_last
        self.passes = self._table()
        led = self.catalogue.checked(self.lease.must_hold)
        self._people = Telling(led, lambda: self.lease.leads)
        self._webhooks = Posting(led, lambda: self.lease.leads)

    def _table(self) -> list[Pass]:
        """Every pass: its name, after how many seconds it is made again, what it does, and what else holds of it."""
        catalogue, prefect = self.catalogue.checked(self.lease.must_hold), self.prefect
        patient = self._patient.checked(self.lease.must_hold)
        following = Following(catalogue, prefect, self.lease, self.asides)
        comparison = Comparison(catalogue, prefect, self.asides.of("tasks in Prefect"), self.asides.of("deployments"))
        auditor, deploying, aside = Auditor(patient, self.ping_url), threading.Lock(), self.asides.of
        cancellations = runs.Cancellations(aside("runs to cancel"))
        prefect.unreadable = aside("runs in Prefect").note

        def once(action: Callable[..., object]) -> Callable[[], object]:
            def in_a_transaction() -> object:
                with catalogue.transaction() as session:
                    return action(session, now=now())

            return in_a_transaction

        follow = Pass("follow", 2, following.follow, budget_seconds=40)

        def deploy_changes() -> int:
            applied = tasks.deploy_changes(catalogue, prefect, aside("tasks in Prefect"))
            if applied:
                follow.hint()  # what was just created may be due in a moment
            return applied

        return [
            # Often, because until they are there nothing is planned, and no task made that is due.
            Pass("partitions", 5, once(partitions.ensure_partitions)),
            Pass("resume", 1, lambda: tasks.resume_tasks(catalogue, aside("pauses"))),
            Pass("write_ahead", 1, lambda: due_times.write_ahead(catalogue, aside("tasks"), now=now()), goes_on=True),
            Pass("chains", 1, once(chains.follow)),
            Pass("requested", 1, lambda: runs.make_requested(catalogue, prefect, aside("runs asked for"), now=now())),
            Pass("cancelled", 1, lambda: cancellations.tell(catalogue, prefect, now=now())),
            Pass("deploy", 1, deploy_changes, goes_on=True, alone=deploying),
            follow,
            Pass("everything", 5, comparison.step, share=EVERYTHING_AT_MOST, goes_on=True, alone=deploying),
            Pass("lost_workers", 5, lambda: self._declare_lost(catalogue)),
            Pass(
                "tell_prefect",
                5,
                lambda: runs.tell_prefect(catalogue, prefect, aside("runs to tell Prefect of"), now=now()),
            ),
            Pass("trials", 5, lambda: tasks.end_trials(catalogue, aside("trials"))),
            Pass("notifications", 10, once(notification_queue.watch)),
            Pass("plan_anew", 60, once(ledger.plan_anew)),
            Pass("forget_events", 60, lambda: _forget_events(catalogue)),
            Pass("forget_answers", HOUR, once(idempotency.forget_old)),
            Pass("note_passes", 5, lambda: self._note_passes(catalogue)),
            Pass("note_aside", 5, lambda: self._note_aside(catalogue)),
            Pass("audit", 60, auditor.audit, budget_seconds=180),
            Pass("housekeeping", 5, lambda: _keep_house(patient), budget_seconds=180, goes_on=True),
        ]

    def run(self) -> None:
        """Makes passes until it is stopped."""
        self.start()
        self.stopped.wait()
        self.close()

    def start(self) -> None:
        """Begins, in threads of its own."""
        reporter = Reporter(self._own, "reconciler").start()
        self._beside = [Listener(self.catalogue.url, self._hear).start(), self._people, self._webhooks, reporter]
        partitions = self._named("partitions")
        self._loops = [
            self.lease.loop(),
            loops.ThreadLoop("reconciler.prefect", self._look_at_prefect, pause_seconds=LOOKS_AT_PREFECT_SECONDS),
            self._people.loop(),
            self._webhooks.loop(),
            *(each.loop(self.lease, on_missing_month=partitions.hint) for each in self.passes),
        ]
        for each in self._loops:
            each.start()

    def stop(self) -> None:
        """Has `run` come to its end."""
        self.stopped.set()

    def close(self) -> None:
        """Ends every loop after the step that is being made, and hands over to another process."""
        until = monotonic() + STOPS_WITHIN_SECONDS
        for loop in self._loops:
            loop.stop(0)
        for beside in self._beside:
            beside.stop()
        for loop in self._loops:
            loop.stop(max(0.0, until - monotonic()))
        # What is still being done is done before another one begins.
        if not any(each.began_at for each in self.passes):
            with suppress(CatalogueUnavailable):
                self.lease.release()
        self._own.close()
        self._patient.close()

    def _named(self, name: str) -> Pass:
        return next(each for each in self.passes if each.name == name)

    def _hear(self, topics: frozenset[str]) -> None:
        if topics & {Topic.SYNC, Topic.CANCEL, Topic.EVERYTHING}:
            for name in ("deploy", "requested", "cancelled"):
                self._named(name).hint()
        if topics & {Topic.MESSAGES, Topic.RUNS, Topic.TASKS, Topic.EVERYTHING}:
            self._people.wake.set()
            self._webhooks.wake.set()

    def _stuck(self) -> str | None:
        return next((each.name for each in self.passes if each.is_stuck), None)

    def _look_at_prefect(self) -> None:
        """Whether Prefect answers this process: where it does not, another one may do better."""
        with within(LOOKS_AT_PREFECT_SECONDS, "A look at Prefect"):
            self.prefect.variable(MARKER)
        with self._own.transaction() as session:
            heartbeats.beat(session, heartbeats.SEES_PREFECT, now=now(), details={"holder": str(self.lease.holder)})

    def _declare_lost(self, catalogue: Catalogue) -> None:
        # A worker is not lost because nobody could beat: everybody gets the time to.
        if self.lease.steady_seconds > workers.LOST_AFTER.total_seconds():
            declare_lost(catalogue, self.asides.of("lost runs"), now=now())

    def _note_passes(self, catalogue: Catalogue) -> None:
        made = {each.name: each.made_at.isoformat() for each in self.passes if each.made_at is not None}
        with catalogue.transaction() as session:
            heartbeats.beat(session, heartbeats.PASSES, now=now(), details=made)

    def _note_aside(self, catalogue: Catalogue) -> None:
        def write(items: list[set_aside.Item]) -> None:
            with catalogue.transaction() as session:
                set_aside.write(session, items)

        self.asides.tell(self.lease.term, write)


def _forget_events(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        events.forget(session, before=now() - events.KEPT, limit=EVENTS_AT_ONCE)


def _keep_house(catalogue: Catalogue) -> bool:
    with catalogue.transaction() as session:
        return retention.fulfil(session, now=now())

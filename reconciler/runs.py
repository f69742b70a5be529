"""Runs between the two stores: asked for here and made there, cancelled, seen there and noted here, told there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from db import partitions, run_requests, runs, sightings, workers
from db.claims import Offer, trigger_of
from db.engine import Catalogue
from db.run_requests import OpenRequest
from db.runs import Ending, RunKey
from db.sightings import Sighting
from db.specs import FieldError, InvalidTask
from db.sqlstates import is_missing_partition
from db.states import ACTIVE_STATES, FINAL_STATES, IN_PREFECT, LEDGER_TRIGGERS, RunState, Trigger
from db.tables import Run
from reconciler.aside import Aside
from reconciler.clock import counter
from reconciler.deployments import parameters
from reconciler.prefect import FlowRun, Prefect

TELL_AFTER = timedelta(seconds=20)
"""A worker tells Prefect itself; what one that is gone did not tell for so long is told for it."""
TELL_FOR_A_WORKER_AFTER = timedelta(minutes=10)
"""What a worker that is there could not tell for so long, it will not tell any more."""

ASKED_AGAIN_SECONDS = 60.0
"""After so long whoever executes a run in Prefect is asked once more to end it."""

STATES = {
    "SCHEDULED": RunState.SCHEDULED,
    "PENDING": RunState.PENDING,
    "RUNNING": RunState.RUNNING,
    "PAUSED": RunState.RUNNING,
    "CANCELLING": RunState.RUNNING,
    "COMPLETED": RunState.COMPLETED,
    "FAILED": RunState.FAILED,
    "CANCELLED": RunState.CANCELLED,
    "CRASHED": RunState.CRASHED,
}
NAMED_STATES = {"TimedOut": RunState.TIMED_OUT, "AwaitingRetry": RunState.RETRYING, "Retrying": RunState.RUNNING}


def state_of(run: FlowRun) -> RunState:
    """Prefect's state in our words."""
    return NAMED_STATES.get(run.state_name, STATES[run.state_type])


def make_requested(catalogue: Catalogue, prefect: Prefect, aside: Aside | None = None, *, now: datetime) -> int:
    """Makes the runs that are wanted besides the schedule; returns how many."""
    aside, made = aside or Aside("runs asked for"), 0
    with catalogue.transaction() as session:
        wanted = run_requests.open_requests(session, now=now, besides=aside.waiting_ids())
    deployed = [request for request in wanted if request.deployment_id is not None]
    for request in aside.ready(deployed, lambda one: one.id):
        with aside.alone(request.id, task_id=request.task_id):
            _make(catalogue, prefect, request, now=now)
            made += 1
    return made


def _make(catalogue: Catalogue, prefect: Prefect, request: OpenRequest, *, now: datetime) -> None:
    if request.broken is not None:
        raise InvalidTask([FieldError(field="action", message=request.broken)])
    assert request.deployment_id is not None
    key = f"{request.trigger} {request.id}"
    given = parameters(request.changed) if request.changed is not None else None
    run = prefect.create_flow_run(request.deployment_id, at=request.due_at, key=key, parameters=given)
    try:
        with catalogue.transaction() as session:
            run_requests.fulfil(session, request, run.id)
    except DBAPIError as error:
        if not is_missing_partition(error):
            raise
        with catalogue.transaction() as session:
            partitions.ensure_month(session, request.due_at, now=now)
            run_requests.fulfil(session, request, run.id)


@dataclass(slots=True)
class Cancellations:
    """Cancels in Prefect what no worker of ours holds: who executes it there is asked once in a while."""

    aside: Aside = field(default_factory=lambda: Aside("runs to cancel"))
    _asked: dict[UUID, float] = field(default_factory=dict)

    def tell(self, catalogue: Catalogue, prefect: Prefect, *, now: datetime) -> int:
        """Returns how many runs that were."""
        self._asked = {run: at for run, at in self._asked.items() if counter() - at < ASKED_AGAIN_SECONDS}
        with catalogue.transaction() as session:
            wanted = runs.to_cancel(session, besides=[*self.aside.waiting_ids(), *self._asked])
        for run in self.aside.ready(wanted, lambda one: one.id):
            with self.aside.alone(run.id, task_id=run.task_id):
                if run.state in ACTIVE_STATES:
                    # Whoever executes it ends it. By then it may have ended, which stands.
                    prefect.ask_to_cancel(run.id)
                    self._asked[run.id] = counter()
                else:
                    _cancel(catalogue, run, now=now)
        return len(wanted)


def _cancel(catalogue: Catalogue, run: Run, *, now: datetime) -> None:
    ending = Ending(RunState.CANCELLED, now, error="Cancelled before it started.")
    with catalogue.transaction() as session:
        runs.end_unclaimed(session, RunKey(run.id, run.due_at), ending)


def observe(catalogue: Catalogue, seen: Sequence[FlowRun], aside: Aside | None = None, *, now: datetime) -> int:
    """Notes what Prefect says of runs that are not in the hands of our own workers; returns how much was news."""
    aside, news = aside or Aside("runs in Prefect"), 0
    known = _held_by_workers(catalogue, [run.id for run in seen])
    for run in aside.ready(seen, lambda one: one.id):
        if run.deployment_id is None or run.id in known:
            continue
        sighting = Sighting(_offer(run, run.deployment_id), state_of(run), run.start_time, run.end_time, run.message)
        if _is_nobodys_news(sighting):
            continue
        with aside.alone(run.id), catalogue.transaction() as session:
            news += sightings.observe(session, sighting, now=now)
    return news


def _offer(run: FlowRun, deployment_id: UUID) -> Offer:
    return Offer(run.id, deployment_id, run.expected_start_time, _trigger(run))


def _trigger(run: FlowRun) -> Trigger:
    return trigger_of(run.idempotency_key, auto_scheduled=run.auto_scheduled)


def _is_nobodys_news(sighting: Sighting) -> bool:
    """The ledger and the requests know of their own runs before they begin."""
    ours = (*LEDGER_TRIGGERS, Trigger.MANUAL, Trigger.TEST, Trigger.CHAIN)
    return sighting.offer.trigger in ours and sighting.state in (RunState.SCHEDULED, RunState.RETRYING)


def _held_by_workers(catalogue: Catalogue, ids: list[UUID]) -> set[UUID]:
    with catalogue.transaction() as session:
        return runs.held_by_workers(session, ids)


def tell_prefect(catalogue: Catalogue, prefect: Prefect, aside: Aside | None = None, *, now: datetime) -> int:
    """Tells Prefect what nobody else could; returns how many runs that were."""
    aside = aside or Aside("runs to tell Prefect of")
    with catalogue.transaction() as session:
        # A worker that is there tells what it has to tell, however much that is.
        there = [worker.id for worker in workers.present(session, now=now)]
        behind = runs.unreported(
            session, besides=there, before=now - TELL_FOR_A_WORKER_AFTER, without=aside.waiting_ids()
        )
        untold = [run for run in behind if _told_too_late(run, now=now)]
    for run in aside.ready(untold, lambda one: one.id):
        with aside.alone(run.id, task_id=run.task_id):
            _tell(catalogue, prefect, run)
    return len(untold)


def _tell(catalogue: Catalogue, prefect: Prefect, run: Run) -> None:
    state = RunState(run.state)
    kind, name = IN_PREFECT[state]
    prefect.set_state(run.id, kind=kind, name=name, message=run.error or f"{name}, as the catalogue has it.")
    with catalogue.transaction() as session:
        runs.mark_reported(session, RunKey(run.id, run.due_at), state=state)


def _told_too_late(run: Run, *, now: datetime) -> bool:
    if run.state not in IN_PREFECT:
        return False
    if run.worker_id is None:
        return run.state in FINAL_STATES
    return (run.ended_at or run.started_at or now) < now - TELL_AFTER

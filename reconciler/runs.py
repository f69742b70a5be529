"""Runs between the two stores: asked for here and made there, cancelled, seen there and noted here, told there."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from db import run_requests, runs, sightings, workers
from db.claims import Offer, trigger_of
from db.engine import Catalogue
from db.runs import Ending, RunKey
from db.sightings import Sighting
from db.states import ACTIVE_STATES, FINAL_STATES, IN_PREFECT, LEDGER_TRIGGERS, RunState, Trigger
from db.tables import Run
from reconciler.deployments import parameters
from reconciler.prefect import FlowRun, Prefect, PrefectRefused

log = logging.getLogger(__name__)

TELL_AFTER = timedelta(seconds=20)
"""A worker tells Prefect itself; what one that is gone did not tell for so long is told for it."""
TELL_FOR_A_WORKER_AFTER = timedelta(minutes=10)
"""What a worker that is there could not tell for so long, it will not tell any more."""

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


def make_requested(catalogue: Catalogue, prefect: Prefect, *, now: datetime) -> int:
    """Makes the runs that are wanted besides the schedule; returns how many."""
    with catalogue.transaction() as session:
        wanted = run_requests.open_requests(session, now=now)
    made = 0
    for request in wanted:
        if request.deployment_id is None:
            continue
        try:
            key = f"{request.trigger} {request.id}"
            given = parameters(request.changed) if request.changed is not None else None
            run = prefect.create_flow_run(request.deployment_id, at=request.due_at, key=key, parameters=given)
        except PrefectRefused as error:
            log.warning("Prefect would not take a run of %s: %s", request.task_name, error)
            continue
        with catalogue.transaction() as session:
            run_requests.fulfil(session, request, run.id)
        made += 1
    return made


def cancel_requested(catalogue: Catalogue, prefect: Prefect, *, now: datetime) -> int:
    """Cancels in Prefect what no worker of ours holds; returns how many runs that were."""
    with catalogue.transaction() as session:
        wanted = [run for run in runs.open_runs(session) if run.cancel_requested_at and run.worker_id is None]
    for run in wanted:
        if run.state in ACTIVE_STATES:
            prefect.set_state(run.id, kind="CANCELLING", name="Cancelling", message="Cancelled in Duetime.")
            continue
        ending = Ending(RunState.CANCELLED, now, error="Cancelled before it started.")
        with catalogue.transaction() as session:
            runs.end_unclaimed(session, RunKey(run.id, run.due_at), ending)
    return len(wanted)


def observe(catalogue: Catalogue, seen: Sequence[FlowRun], *, now: datetime) -> int:
    """Notes what Prefect says of runs that are not in the hands of our own workers; returns how much was news."""
    known = _held_by_workers(catalogue, [run.id for run in seen])
    news = 0
    for run in seen:
        if run.deployment_id is None or run.id in known:
            continue
        sighting = Sighting(_offer(run, run.deployment_id), state_of(run), run.start_time, run.end_time, run.message)
        if _is_nobodys_news(sighting):
            continue
        with catalogue.transaction() as session:
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


def tell_prefect(catalogue: Catalogue, prefect: Prefect, *, now: datetime) -> int:
    """Tells Prefect what nobody else could; returns how many runs that were."""
    with catalogue.transaction() as session:
        # A worker that is there tells what it has to tell, however much that is.
        there = [worker.id for worker in workers.present(session, now=now)]
        behind = runs.unreported(session, besides=there, before=now - TELL_FOR_A_WORKER_AFTER)
        untold = [run for run in behind if _told_too_late(run, now=now)]
    for run in untold:
        state = RunState(run.state)
        kind, name = IN_PREFECT[state]
        prefect.set_state(run.id, kind=kind, name=name, message=run.error or f"{name}, as the catalogue has it.")
        with catalogue.transaction() as session:
            runs.mark_reported(session, RunKey(run.id, run.due_at), state=state)
    return len(untold)


def _told_too_late(run: Run, *, now: datetime) -> bool:
    if run.state not in IN_PREFECT:
        return False
    if run.worker_id is None:
        return run.state in FINAL_STATES
    return (run.ended_at or run.started_at or now) < now - TELL_AFTER

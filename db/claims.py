"""The claim: the one moment that decides whether, and by whom, a due time is run.

The task's row is locked first, so an edit, a pause or a delete is either before the claim, and counts, or after it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import due_times, runs
from db.runs import RunKey
from db.specs import AnyTask, parse_task
from db.states import ACTIVE_STATES, Misfire, Outcome, Overlap, Reason, Trigger
from db.tables import DueTime, Run, Task, TaskStatus

ON_TIME = timedelta(seconds=60)
"""A due time that waits longer was missed, as far as `misfire: skip` is concerned."""

FOREIGN = "foreign"
"""The applied schedule of a deployment that Prefect alone can follow: its runs are nobody's due times."""
LEDGER_TRIGGERS = (Trigger.SCHEDULE, Trigger.CATCH_UP)
"""Runs of these triggers execute a due time; the others were asked for by somebody."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """The worker that asks."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A flow run that Prefect holds for a deployment, due at an instant."""

    run_id: UUID
    deployment_id: UUID
    due_at: datetime
    trigger: Trigger


def trigger_of(idempotency_key: str, *, auto_scheduled: bool) -> Trigger:
    """Why a flow run exists, as its key tells: Prefect's scheduler and the reconciler begin it with a word. Pure."""
    word = idempotency_key.partition(" ")[0]
    if auto_scheduled or word == "scheduled":
        return Trigger.SCHEDULE
    return Trigger(word) if word in (Trigger.MANUAL, Trigger.CATCH_UP, Trigger.RERUN) else Trigger.PREFECT


@dataclass(frozen=True, slots=True)
class Claimed:
    """The worker has it: the task as it is at this moment."""

    key: RunKey
    task_id: UUID
    version: int
    task: AnyTask
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class StandDown:
    """Not to be run: the flow run is to be cancelled quietly."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Taken:
    """Another worker has this very run: leave it alone."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Ask again in a moment: the task is not known yet, or its last run has to end first."""


Answer = Claimed | StandDown | Taken | NotYet


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision about a due time depends on."""

    due_at: datetime
    now: datetime
    paused: bool
    running: bool
    newest_due_at: datetime | None
    """Of the pending due times that have passed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a due time is not run, and what the ledger says of it."""

    outcome: Outcome
    reason: Reason


def refusal(task: AnyTask, situation: Situation) -> Refusal | None:
    """Why this due time is not to be run, by the policies of its task; None where it is. Pure."""
    late = situation.now - situation.due_at
    if situation.paused:
        return Refusal(Outcome.SKIPPED, Reason.PAUSED)
    if task.max_lateness_seconds is not None and late > timedelta(seconds=task.max_lateness_seconds):
        return Refusal(Outcome.MISSED, Reason.LATE)
    if task.misfire is Misfire.SKIP and late > ON_TIME:
        return Refusal(Outcome.MISSED, Reason.LATE)
    newer = situation.newest_due_at is not None and situation.newest_due_at > situation.due_at
    if task.misfire is Misfire.LATEST and newer and late > ON_TIME:
        return Refusal(Outcome.SKIPPED, Reason.SUPERSEDED)
    if task.overlap is Overlap.SKIP and situation.running:
        return Refusal(Outcome.SKIPPED, Reason.OVERLAP)
    return None


def claim(session: Session, offer: Offer, claimant: Claimant, *, now: datetime) -> Answer:
    """Takes the offered run for the worker, or says why not. At most one worker ever gets `Claimed` for a due time."""
    row = session.execute(
        select(Task, (TaskStatus.applied["schedule"].astext == FOREIGN).label("foreign"))
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .where(TaskStatus.deployment_id == offer.deployment_id)
        .with_for_update(of=Task, key_share=True)
        .execution_options(populate_existing=True)
    ).first()
    if row is None:
        return NotYet()
    task: Task = row.Task
    if task.deleted_at is not None:
        return StandDown(Reason.DELETED)
    spec = parse_task(task.spec)
    if row.foreign:
        offer = replace(offer, trigger=Trigger.PREFECT)
    if offer.trigger in LEDGER_TRIGGERS:
        refused = _refuse_due_time(session, offer, task, spec, now=now)
        if refused is not None:
            return refused
    return _take(session, offer, claimant, task, spec, now=now)


def _refuse_due_time(session: Session, offer: Offer, task: Task, spec: AnyTask, *, now: datetime) -> Answer | None:
    row = _ledger_row(session, task.id, offer.due_at)
    if row is None:
        due_times.write_if_due(session, task, spec, offer.due_at)
        row = _ledger_row(session, task.id, offer.due_at)
    if row is not None and row.run_id == offer.run_id:
        return None  # whose run it is, is told by the run
    if row is None or row.outcome != Outcome.PENDING:
        return StandDown(Reason.NOT_DUE)
    situation = _situation(session, task, due_at=offer.due_at, now=now)
    refused = refusal(spec, situation)
    if refused is not None:
        due_times.settle(session, task.id, offer.due_at, outcome=refused.outcome, reason=refused.reason, now=now)
        return StandDown(refused.reason)
    if situation.running and spec.overlap is Overlap.QUEUE:
        return NotYet()
    if situation.running and spec.overlap is Overlap.REPLACE:
        runs.request_cancel_of_task(session, task.id, states=ACTIVE_STATES, now=now)
    return None


def _ledger_row(session: Session, task_id: UUID, due_at: datetime) -> DueTime | None:
    return session.scalar(
        select(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at == due_at)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _situation(session: Session, task: Task, *, due_at: datetime, now: datetime) -> Situation:
    running = select(Run.id).where(Run.task_id == task.id, Run.ended_at.is_(None), Run.state.in_(ACTIVE_STATES))
    newest = select(func.max(DueTime.due_at)).where(
        DueTime.task_id == task.id, DueTime.outcome == Outcome.PENDING, DueTime.due_at <= now
    )
    return Situation(
        due_at=due_at,
        now=now,
        paused=task.paused and (task.paused_until is None or task.paused_until > due_at),
        running=session.execute(running.limit(1)).first() is not None,
        newest_due_at=session.scalar(newest),
    )


def _take(session: Session, offer: Offer, claimant: Claimant, task: Task, spec: AnyTask, *, now: datetime) -> Answer:
    key = RunKey(offer.run_id, offer.due_at)
    late = offer.trigger is Trigger.SCHEDULE and now - offer.due_at > ON_TIME
    trigger = Trigger.CATCH_UP if late else offer.trigger
    taken = runs.start(
        session,
        key,
        task_id=task.id,
        task_name=spec.name,
        task_version=task.version,
        trigger=trigger.value,
        attempt=1,
        started_at=now,
        worker_id=claimant.id,
        worker=claimant.name,
    )
    if not taken:
        return _taken_before(runs.get_run(session, offer.run_id), claimant, task, spec)
    if offer.trigger in LEDGER_TRIGGERS:
        due_times.begin(session, task.id, key.due_at, run_id=key.id, version=task.version, started_at=now)
    return Claimed(key, task.id, task.version, spec, trigger)


def _taken_before(run: Run, claimant: Claimant, task: Task, spec: AnyTask) -> Answer:
    if run.worker_id is None:
        return StandDown(Reason.CANCELLED)
    if run.worker_id == claimant.id and run.ended_at is None:
        # It was claimed, and PostgreSQL went away before it could say so.
        return Claimed(RunKey(run.id, run.due_at), task.id, task.version, spec, Trigger(run.trigger))
    return Taken()

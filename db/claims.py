"""The claim: the one moment that decides whether, and by whom, a due time is run.

The task's row is locked first, so an edit, a pause or a delete is either before the claim, and counts, or after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import due_times, runs, workers
from db.due_times import is_foreign
from db.policies import ON_TIME, Situation, refusal, waits
from db.runs import RunKey
from db.specs import AnyTask, parse_task
from db.states import ACTIVE_STATES, Outcome, Overlap, Reason, Trigger
from db.tables import DueTime, Run, Task, TaskStatus

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
    attempt: int = 1


STOOD_DOWN = "Not run: "
"""So begins what Prefect is told of a run that a worker stood down from: nobody else cancelled it."""


@dataclass(frozen=True, slots=True)
class StandDown:
    """Not to be run: the flow run is to be cancelled quietly."""

    reason: Reason

    @property
    def message(self) -> str:
        """What Prefect is told."""
        return f"{STOOD_DOWN}{self.reason}."


@dataclass(frozen=True, slots=True)
class Taken:
    """Another worker has this very run: leave it alone."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Ask again in a moment: the task is not known yet, or its last run has to end first."""


Answer = Claimed | StandDown | Taken | NotYet


def hold_task(session: Session, offer: Offer) -> None:
    """Waits until nobody else claims a due time of the task, or changes it: only then it is known when the claim is."""
    of_deployment = select(Task.id).join(TaskStatus, TaskStatus.task_id == Task.id)
    mine = TaskStatus.deployment_id == offer.deployment_id
    session.execute(of_deployment.where(mine).with_for_update(of=Task, key_share=True))


def claim(
    session: Session, offer: Offer, claimant: Claimant, *, now: datetime, held_at: datetime | None = None
) -> Answer:
    """Takes the offered run for the worker, or says why not. At most one worker ever gets `Claimed` for a due time.

    `held_at` is since when the worker has the run in its hands.
    """
    if workers.is_gone(session, claimant.id):
        return NotYet()  # until it has found out, and is another one
    row = session.execute(
        select(Task, is_foreign())
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
    refused = _refuse(session, offer, task, spec, now=now)
    if refused is not None:
        return refused
    return _take(session, offer, claimant, task, spec, now=now, held_at=held_at or now)


def _refuse(session: Session, offer: Offer, task: Task, spec: AnyTask, *, now: datetime) -> Answer | None:
    if offer.trigger in LEDGER_TRIGGERS:
        return _refuse_due_time(session, offer, task, spec, now=now)
    if offer.trigger is Trigger.RERUN and spec.overlap is not Overlap.ALLOW and _active_triggers(session, task.id):
        return NotYet()
    return None


def _refuse_due_time(session: Session, offer: Offer, task: Task, spec: AnyTask, *, now: datetime) -> Answer | None:
    due_times.complete(session, task, now=max(now, offer.due_at))
    row = _ledger_row(session, task.id, offer.due_at)
    if row is not None and row.run_id == offer.run_id:
        return None  # whose run it is, is told by the run
    if row is None or row.outcome != Outcome.PENDING:
        return StandDown(Reason.NOT_DUE)
    situation = _situation(session, task, row, now=now)
    refused = refusal(spec, situation)
    if refused is not None:
        due_times.settle(session, task.id, offer.due_at, outcome=refused.outcome, reason=refused.reason, now=now)
        return StandDown(refused.reason)
    if waits(spec, situation):
        due_times.put_in_line(session, task.id, offer.due_at)
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


def _situation(session: Session, task: Task, row: DueTime, *, now: datetime) -> Situation:
    passed = select(func.min(DueTime.due_at), due_times.newest_passed(task.id, now=now)).where(
        DueTime.task_id == task.id, DueTime.outcome == Outcome.PENDING, DueTime.due_at <= now
    )
    oldest, newest = session.execute(passed).one()
    active = _active_triggers(session, task.id)
    return Situation(
        due_at=row.due_at,
        now=now,
        paused=due_times.is_paused_at(task, row.due_at),
        running=bool(active) or due_times.is_running(session, task.id),
        oldest_due_at=oldest,
        newest_due_at=newest,
        waits_for=Reason(row.reason) if row.reason else None,
        catching_up=Trigger.CATCH_UP in active,
    )


def _active_triggers(session: Session, task_id: UUID) -> set[str]:
    """Why the runs of a task exist that are going on."""
    active = (Run.task_id == task_id, Run.ended_at.is_(None), Run.state.in_(ACTIVE_STATES))
    return set(session.scalars(select(Run.trigger).where(*active)))


def startable(session: Session, late: Sequence[Offer], *, now: datetime) -> set[UUID]:
    """Which of these runs, whose due times are long past, a claim would begin now: the next in turn of each task.

    It saves the claims of all the others, which after an outage are many.
    """
    found: set[UUID] = set()
    offers = {(offer.deployment_id, offer.due_at): offer.run_id for offer in late}
    ends = (func.min(DueTime.due_at).label("oldest"), func.max(DueTime.due_at).label("newest"))
    tasks = session.execute(
        select(Task, TaskStatus.deployment_id, *ends)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .join(DueTime, DueTime.task_id == Task.id)
        .where(TaskStatus.deployment_id.in_({offer.deployment_id for offer in late}), Task.deleted_at.is_(None))
        .where(DueTime.outcome == Outcome.PENDING, DueTime.due_at <= now, TaskStatus.planned_until >= now)
        .group_by(Task.id, TaskStatus.deployment_id)
    )
    for task, deployment_id, oldest, newest in tasks:
        spec = parse_task(task.spec)
        for due_at in {oldest, newest}:
            if (run_id := offers.get((deployment_id, due_at))) is None:
                continue
            situation = _situation(session, task, session.get_one(DueTime, (task.id, due_at)), now=now)
            if refusal(spec, situation) is None and not waits(spec, situation):
                found.add(run_id)
    return found


def _take(
    session: Session,
    offer: Offer,
    claimant: Claimant,
    task: Task,
    spec: AnyTask,
    *,
    now: datetime,
    held_at: datetime,
) -> Answer:
    key = RunKey(offer.run_id, offer.due_at)
    late = offer.trigger is Trigger.SCHEDULE and now - offer.due_at > ON_TIME
    trigger = Trigger.CATCH_UP if late else offer.trigger
    attempt = runs.start(
        session,
        key,
        task_id=task.id,
        task_name=spec.name,
        task_version=task.version,
        trigger=trigger.value,
        started_at=now,
        held_at=held_at,
        worker_id=claimant.id,
        worker=claimant.name,
    )
    if attempt is None:
        return _taken_before(runs.get_run(session, offer.run_id), claimant, task, spec)
    if offer.trigger in LEDGER_TRIGGERS:
        due_times.begin(session, task.id, key.due_at, run_id=key.id, version=task.version, started_at=now)
    return Claimed(key, task.id, task.version, spec, trigger, attempt)


def _taken_before(run: Run, claimant: Claimant, task: Task, spec: AnyTask) -> Answer:
    if run.worker_id is None:
        return StandDown(Reason.CANCELLED)
    if run.worker_id == claimant.id and run.ended_at is None:
        # It was claimed, and PostgreSQL went away before it could say so.
        return Claimed(RunKey(run.id, run.due_at), task.id, task.version, spec, Trigger(run.trigger), run.attempt)
    return Taken()

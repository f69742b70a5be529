"""What Prefect says of runs that no worker of ours claimed: by hand, on stock workers, cancelled before they began."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import due_times, runs
from db.claims import Offer
from db.due_times import is_foreign
from db.partitions import newest_instant, oldest_instant
from db.runs import Ending, RunKey
from db.states import FINAL_STATES, LEDGER_TRIGGERS, RunState, Trigger
from db.tables import Run, Task, TaskStatus


@dataclass(frozen=True, slots=True)
class Sighting:
    """What Prefect says of a run."""

    offer: Offer
    state: RunState
    started_at: datetime | None
    ended_at: datetime | None
    message: str | None


def observe(session: Session, sighting: Sighting, *, now: datetime) -> bool:
    """Brings to the catalogue what happened to a run that no worker of ours claimed; False where there is no news."""
    offer = sighting.offer
    row = session.execute(
        select(Task, is_foreign())
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .where(TaskStatus.deployment_id == offer.deployment_id)
        # As a claim does, and in the same order: the task, its due time, the run.
        .with_for_update(of=Task, key_share=True)
    ).first()
    if row is None:
        return False
    task: Task = row.Task
    if row.foreign:
        offer = replace(offer, trigger=Trigger.PREFECT)
        sighting = replace(sighting, offer=offer)
    key = RunKey(offer.run_id, offer.due_at)
    run = session.get(Run, (key.id, key.due_at), populate_existing=True)
    if run is None:
        return _first_sighting(session, sighting, key, task, now=now)
    if run.worker_id is not None or run.ended_at is not None:
        return False
    return _later_sighting(session, sighting, key, run)


def _first_sighting(session: Session, sighting: Sighting, key: RunKey, task: Task, *, now: datetime) -> bool:
    if not oldest_instant(now) <= key.due_at < newest_instant(now):
        return False
    due = sighting.offer.trigger in LEDGER_TRIGGERS
    if due and sighting.started_at is None:
        cancelled = sighting.state is RunState.CANCELLED
        return cancelled and due_times.cancel_pending(session, task.id, key.due_at, now=now)
    runs.insert_run(
        session,
        key,
        task_id=task.id,
        task_name=task.name,
        task_version=task.version,
        trigger=sighting.offer.trigger.value,
        state=RunState.RUNNING.value if sighting.started_at else RunState.SCHEDULED.value,
        started_at=sighting.started_at,
    )
    if due:
        due_times.begin(
            session, task.id, key.due_at, run_id=key.id, version=task.version, started_at=sighting.started_at or now
        )
    _later_sighting(session, sighting, key, session.get_one(Run, (key.id, key.due_at), populate_existing=True))
    return True


def _later_sighting(session: Session, sighting: Sighting, key: RunKey, run: Run) -> bool:
    if run.state == sighting.state:
        return False
    if sighting.state not in FINAL_STATES:
        return runs.observe(session, key, state=sighting.state, started_at=sighting.started_at)
    ended_at = sighting.ended_at or sighting.started_at or key.due_at
    failed = sighting.state is not RunState.COMPLETED
    ending = Ending(sighting.state, ended_at, error=sighting.message if failed else None)
    return runs.observe_end(session, key, ending, started_at=sighting.started_at)

"""Workers that fell silent: what they ran is decided without them."""

import logging
from datetime import datetime

from sqlalchemy.orm import Session

from db import audit, runs, workers
from db.engine import Catalogue
from db.runs import Ending, RunKey
from db.states import RunState
from db.tables import Run, Worker
from reconciler.aside import Aside

log = logging.getLogger(__name__)


def declare_lost(catalogue: Catalogue, aside: Aside | None = None, *, now: datetime) -> int:
    """Ends the runs of workers that stopped, or were not heard of for too long; returns how many runs that were."""
    aside = aside or Aside("lost runs")
    with catalogue.transaction() as session:
        silent = workers.silent(session, now=now)
    for worker in aside.ready(silent, lambda one: one.id):
        with aside.alone(worker.id), catalogue.transaction() as session:
            _declare(session, worker, now=now)
    with catalogue.transaction() as session:
        lost = runs.lost_runs(session, besides=aside.waiting_ids())
    for run, worker in aside.ready(lost, lambda one: one[0].id):
        with aside.alone(run.id, task_id=run.task_id), catalogue.transaction() as session:
            runs.end_unclaimed(session, RunKey(run.id, run.due_at), _ending(run, worker, now=now), held_by=worker.id)
    return len(lost)


def _declare(session: Session, worker: Worker, *, now: datetime) -> None:
    workers.stop(session, worker.id, now=now)
    details = {"worker": worker.name, "last_heard_at": worker.heartbeat_at.isoformat()}
    audit.record(session, at=now, actor=audit.SYSTEM, change="worker.lost", details=details)
    log.warning("Worker %s was last heard of at %s: it is lost", worker.name, worker.heartbeat_at)


def _ending(run: Run, worker: Worker, *, now: datetime) -> Ending:
    last_heard = f"{worker.heartbeat_at:%H:%M:%S} UTC"
    message = (
        f"Worker {worker.name} was last heard of at {last_heard}, while it ran this. What became of it is unknown."
    )
    return Ending(RunState.CRASHED, max(now, run.started_at or now), error=message)

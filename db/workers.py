"""Workers: who they are and when they were last heard of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, aliased

from db import audit
from db.arrays import in_rows
from db.errors import WorkerIsGone
from db.notifications import Topic, notify
from db.tables import Run, Worker
from db.texts import fit

HEARTBEAT_SECONDS = 5
LOST_AFTER = timedelta(seconds=30)
"""A worker that was not heard of for so long is lost, and what it ran is decided without it."""
LONGEST_REASON = 500
PEER_WITHIN = timedelta(seconds=12)
"""A worker that missed two heartbeats is not left to go first."""


@dataclass(frozen=True, slots=True)
class Failing:
    """That no claim of a worker has succeeded since an instant, and why."""

    since: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says of itself: the runs that it executes, whether it can claim, how late its event loop is."""

    holds: Sequence[UUID] | None = None
    claims: Failing | None = None
    loop_lag_seconds: float | None = None


SAYS_NOTHING = Report()


def register(
    session: Session,
    *,
    worker_id: UUID,
    instead_of: UUID | None = None,
    name: str,
    work_pool: str,
    queues: Sequence[str] = (),
    host: str,
    pid: int,
    slots: int | None = None,
    version: str | None = None,
    now: datetime,
) -> None:
    """Adds a worker that has just started, or that was declared lost and starts anew: who was drained stays so."""
    drained = session.scalar(select(Worker.draining_at).where(Worker.id == instead_of)) if instead_of else None
    served = {"work_pool": work_pool, "queues": list(queues), "slots": slots, "version": version}
    session.add(
        Worker(
            id=worker_id, name=name, **served, host=host, pid=pid, started_at=now, heartbeat_at=now, draining_at=drained
        )
    )
    notify(session, [Topic.WORKERS])


def beat(session: Session, worker_id: UUID, *, report: Report = SAYS_NOTHING, now: datetime) -> bool:
    """Notes that the worker lives; False where it was declared lost, so that it must start anew."""
    failing = report.claims
    found = session.execute(
        update(Worker)
        .where(Worker.id == worker_id, Worker.stopped_at.is_(None))
        .values(
            heartbeat_at=now,
            holds=None if report.holds is None else sorted(report.holds),
            claims_fail_since=failing.since if failing else None,
            claims_fail_why=fit(failing.why, at_most=LONGEST_REASON) if failing else None,
            loop_lag_seconds=report.loop_lag_seconds,
        )
        .returning(Worker.id)
    ).first()
    return found is not None


def drain(session: Session, worker_id: UUID, *, on: bool, actor: str, now: datetime) -> None:
    """Has the worker finish what it runs and take nothing new, or ends that.

    Raises:
        WorkerIsGone: it has stopped, or there is none.
    """
    there = (Worker.id == worker_id, Worker.stopped_at.is_(None))
    changed = update(Worker).where(*there).values(draining_at=now if on else None).returning(Worker.name)
    name = session.scalar(changed)
    if name is None:
        raise WorkerIsGone
    change = "worker.drained" if on else "worker.undrained"
    audit.record(session, at=now, actor=actor, change=change, details={"worker": name, "worker_id": str(worker_id)})
    notify(session, [Topic.WORKERS])


def is_draining(session: Session, worker_id: UUID) -> bool:
    """Whether the worker is to take nothing new."""
    draining = select(Worker.id).where(Worker.id == worker_id, Worker.draining_at.is_not(None))
    return session.scalar(draining) is not None


def is_gone(session: Session, worker_id: UUID) -> bool:
    """Whether the worker has ended, or was declared lost: it may not know yet."""
    gone = select(Worker.id).where(Worker.id == worker_id, Worker.stopped_at.is_not(None))
    return session.scalar(gone) is not None


def stop(session: Session, worker_id: UUID, *, now: datetime) -> None:
    """The worker has ended, or is declared lost."""
    session.execute(update(Worker).where(Worker.id == worker_id, Worker.stopped_at.is_(None)).values(stopped_at=now))
    notify(session, [Topic.WORKERS])


def present(session: Session, *, now: datetime) -> Sequence[Worker]:
    """The workers that were heard of lately."""
    query = select(Worker).where(Worker.stopped_at.is_(None), Worker.heartbeat_at >= now - LOST_AFTER)
    return session.scalars(query.order_by(Worker.name)).all()


def peers(session: Session, worker_id: UUID, *, now: datetime) -> set[UUID]:
    """The workers that serve the same queues of the same pool as this one, itself among them, and take what is new."""
    own, other = aliased(Worker), aliased(Worker)
    query = (
        select(other.id)
        .join(own, (own.work_pool == other.work_pool) & (own.queues == other.queues))
        .where(own.id == worker_id, other.stopped_at.is_(None), other.heartbeat_at >= now - PEER_WITHIN)
        .where(other.draining_at.is_(None))
    )
    return set(session.scalars(query))


def seen(session: Session, *, since: datetime, limit: int = 200) -> Sequence[Worker]:
    """The workers that were heard of since an instant, those that are there first."""
    query = select(Worker).where(Worker.heartbeat_at >= since)
    return session.scalars(query.order_by(Worker.stopped_at.desc().nulls_first(), Worker.name).limit(limit)).all()


def running(session: Session, worker_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many runs each of these workers executes."""
    query = select(Run.worker_id, func.count()).where(Run.ended_at.is_(None), in_rows(Run.worker_id, worker_ids))
    return {worker_id: count for worker_id, count in session.execute(query.group_by(Run.worker_id)) if worker_id}


def silent(session: Session, *, now: datetime) -> Sequence[Worker]:
    """The workers that did not stop and were not heard of for too long."""
    # A heartbeat that lies far ahead was noted before the clock was set back.
    unheard = or_(Worker.heartbeat_at < now - LOST_AFTER, Worker.heartbeat_at > now + LOST_AFTER)
    query = select(Worker).where(Worker.stopped_at.is_(None), unheard)
    return session.scalars(query).all()

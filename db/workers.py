"""Workers: who they are and when they were last heard of."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session, aliased

from db.notifications import Topic, notify
from db.tables import Worker

HEARTBEAT_SECONDS = 5
LOST_AFTER = timedelta(seconds=30)
"""A worker that was not heard of for so long is lost, and what it ran is decided without it."""
PEER_WITHIN = timedelta(seconds=12)
"""A worker that missed two heartbeats is not left to go first."""


def register(
    session: Session,
    *,
    worker_id: UUID,
    name: str,
    work_pool: str,
    queues: Sequence[str] = (),
    host: str,
    pid: int,
    now: datetime,
) -> None:
    """Adds a worker that has just started."""
    served = {"work_pool": work_pool, "queues": list(queues)}
    session.add(Worker(id=worker_id, name=name, **served, host=host, pid=pid, started_at=now, heartbeat_at=now))
    notify(session, [Topic.WORKERS])


def beat(session: Session, worker_id: UUID, *, now: datetime) -> bool:
    """Notes that the worker lives; False where it was declared lost, so that it must start anew."""
    found = session.execute(
        update(Worker)
        .where(Worker.id == worker_id, Worker.stopped_at.is_(None))
        .values(heartbeat_at=now)
        .returning(Worker.id)
    ).first()
    return found is not None


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
    """The workers that serve the same queues of the same pool as this one, itself among them."""
    own, other = aliased(Worker), aliased(Worker)
    query = (
        select(other.id)
        .join(own, (own.work_pool == other.work_pool) & (own.queues == other.queues))
        .where(own.id == worker_id, other.stopped_at.is_(None), other.heartbeat_at >= now - PEER_WITHIN)
    )
    return set(session.scalars(query))


def silent(session: Session, *, now: datetime) -> Sequence[Worker]:
    """The workers that did not stop and were not heard of for too long."""
    # A heartbeat that lies far ahead was noted before the clock was set back.
    unheard = or_(Worker.heartbeat_at < now - LOST_AFTER, Worker.heartbeat_at > now + LOST_AFTER)
    query = select(Worker).where(Worker.stopped_at.is_(None), unheard)
    return session.scalars(query).all()

"""A run as it is shown, with what surrounds it: its due time, the runs before and after it, and what ran beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import literal, select, tuple_
from sqlalchemy.orm import Session

from db import chains, stored
from db.specs import AnyTask
from db.states import Trigger
from db.tables import DueTime, Revision, Run, RunRequest


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What belongs to a run. The due time is the one that it executes, where it executes one."""

    due_time: DueTime | None
    previous: UUID | None
    following: UUID | None
    went_on: UUID | None
    """The run that goes on with this one, whose machine died."""
    follows: UUID | None
    """The run of another task after which it came."""
    followers: Sequence[UUID]
    """The runs of other tasks that came after it."""
    spec: AnyTask | None
    """The task as the run executed it; None where that is not known any more."""


def surroundings(session: Session, run: Run) -> Surroundings:
    """Read for one run."""
    row = session.get(DueTime, (run.task_id, run.due_at))
    return Surroundings(
        due_time=row if row is not None and row.run_id == run.id else None,
        previous=_neighbour(session, run, before=True),
        following=_neighbour(session, run, before=False),
        went_on=session.scalar(select(RunRequest.run_id).where(RunRequest.rerun_of == run.id)),
        follows=_follows(session, run),
        followers=chains.followers_of(session, run.id),
        spec=_executed(session, run),
    )


def _follows(session: Session, run: Run) -> UUID | None:
    cause = chains.cause_of(session, run.id)
    return cause.run_id if cause is not None else None


def _neighbour(session: Session, run: Run, *, before: bool) -> UUID | None:
    here, there = tuple_(literal(run.due_at), literal(run.id)), tuple_(Run.due_at, Run.id)
    query = select(Run.id).where(Run.task_id == run.task_id, there < here if before else there > here)
    # The first condition, implied by the second, is the one that skips partitions.
    query = query.where(Run.due_at <= run.due_at if before else Run.due_at >= run.due_at)
    order = (Run.due_at.desc(), Run.id.desc()) if before else (Run.due_at, Run.id)
    return session.scalar(query.order_by(*order).limit(1))


def _executed(session: Session, run: Run) -> AnyTask | None:
    revision = session.get(Revision, (run.task_id, run.task_version))
    if revision is None:
        return None
    found = stored.read(revision.spec | _own_action(session, run), name=run.task_name)
    return found.task if found.broken is None else None


def _own_action(session: Session, run: Run) -> dict[str, Any]:
    if run.trigger != Trigger.TEST:
        return {}
    action = session.scalar(select(RunRequest.action).where(RunRequest.run_id == run.id))
    return {"action": action} if action else {}


def in_window(session: Session, *, since: datetime, until: datetime, limit: int) -> Sequence[Run]:
    """The runs that were due then, and those that go on since before, newest first."""
    due_then = select(Run).where(Run.due_at >= since, Run.due_at <= until, Run.started_at.is_not(None))
    newest = session.scalars(due_then.order_by(Run.due_at.desc(), Run.id.desc()).limit(limit)).all()
    open_since = select(Run).where(Run.ended_at.is_(None), Run.started_at.is_not(None), Run.due_at < since)
    older = session.scalars(open_since.order_by(Run.due_at.desc()).limit(limit)).all()
    return [*newest, *older]

"""Runs that somebody asked for: written by a door, made in Prefect by the reconciler."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db import audit, runs
from db.errors import RunIsOver, RunNotFound, TaskIsDeleted, TaskNotFound
from db.notifications import Topic, notify, of
from db.runs import RunKey
from db.states import RunState, Trigger
from db.tables import Run, RunRequest, Task, TaskStatus


def request_run(session: Session, task_id: UUID, *, actor: str, now: datetime) -> UUID:
    """Asks for a run now, also of a paused task; the answer is the request's id.

    Raises:
        TaskNotFound, TaskIsDeleted.
    """
    task = session.get(Task, task_id)
    if task is None:
        raise TaskNotFound(task_id)
    if task.deleted_at is not None:
        raise TaskIsDeleted(task.name)
    request = RunRequest(id=uuid4(), task_id=task_id, requested_at=now, actor=actor)
    session.add(request)
    audit.record(session, at=now, actor=actor, change="task.run_requested", task=task)
    notify(session, [Topic.SYNC])
    return request.id


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that has no run yet, with what is needed to make one."""

    id: UUID
    requested_at: datetime
    task_id: UUID
    task_name: str
    task_version: int
    deployment_id: UUID | None


def open_requests(session: Session, *, limit: int = 200) -> Sequence[OpenRequest]:
    """The requests that still need a run, oldest first."""
    rows = session.execute(
        select(RunRequest.id, RunRequest.requested_at, Task.id, Task.name, Task.version, TaskStatus.deployment_id)
        .join(Task, Task.id == RunRequest.task_id)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .where(RunRequest.run_id.is_(None), RunRequest.refused.is_(None))
        .order_by(RunRequest.requested_at)
        .limit(limit)
    )
    return [OpenRequest(*row) for row in rows]


def refuse_open(session: Session, task_id: UUID, *, why: str) -> None:
    """No runs are made any more for what was asked of this task so far."""
    still_open = (RunRequest.task_id == task_id, RunRequest.run_id.is_(None), RunRequest.refused.is_(None))
    session.execute(update(RunRequest).where(*still_open).values(refused=why))


def fulfil(session: Session, request: OpenRequest, run_id: UUID) -> None:
    """Notes the run that Prefect made for the request, and shows it as scheduled; cancels it if that was asked for."""
    withdrawn = session.scalar(
        update(RunRequest).where(RunRequest.id == request.id).values(run_id=run_id).returning(RunRequest.refused)
    )
    runs.insert_run(
        session,
        RunKey(run_id, request.requested_at),
        task_id=request.task_id,
        task_name=request.task_name,
        task_version=request.task_version,
        trigger=Trigger.MANUAL.value,
        state=RunState.SCHEDULED.value,
    )
    if withdrawn is not None:
        with suppress(RunIsOver):
            runs.request_cancel(session, run_id, now=request.requested_at)
    notify(session, [Topic.READY, of(Topic.READY, request.id)])


def run_of(session: Session, request_id: UUID) -> Run | None:
    """The run that was made for the request; None while there is none.

    Raises:
        RunNotFound: there is no such request.
    """
    request = session.get(RunRequest, request_id, populate_existing=True)
    if request is None:
        raise RunNotFound(request_id)
    return runs.get_run(session, request.run_id) if request.run_id else None


def as_waiting_run(session: Session, request_id: UUID) -> Run:
    """The request as the run that it will become, under the request's id, for while Prefect is away.

    Raises:
        RunNotFound: there is no such request.
    """
    row = session.execute(
        select(RunRequest, Task).join(Task, Task.id == RunRequest.task_id).where(RunRequest.id == request_id)
    ).first()
    if row is None:
        raise RunNotFound(request_id)
    return Run(
        id=request_id,
        due_at=row.RunRequest.requested_at,
        task_id=row.Task.id,
        task_name=row.Task.name,
        task_version=row.Task.version,
        trigger=Trigger.MANUAL,
        state=RunState.CANCELLED if row.RunRequest.refused else RunState.SCHEDULED,
        attempt=1,
        error=row.RunRequest.refused,
    )


def resolve(session: Session, any_id: UUID) -> Run:
    """The run of this id, or the run of the request of this id, made or still to be made.

    Raises:
        RunNotFound.
    """
    try:
        return runs.get_run(session, any_id)
    except RunNotFound:
        return run_of(session, any_id) or as_waiting_run(session, any_id)


def cancel(session: Session, any_id: UUID, *, now: datetime) -> Run:
    """Asks for the run to be cancelled, by its id or its request's, also before it is made.

    Raises:
        RunNotFound, RunIsOver.
    """
    request = session.get(RunRequest, any_id, with_for_update=True, populate_existing=True)
    if request is None:
        return runs.request_cancel(session, any_id, now=now)
    if request.run_id is not None:
        return runs.request_cancel(session, request.run_id, now=now)
    if request.refused is not None:
        raise RunIsOver(RunState.CANCELLED)
    request.refused = "Cancelled before it was made."
    session.flush()
    return as_waiting_run(session, any_id)

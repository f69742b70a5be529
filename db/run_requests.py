"""Runs besides the schedule: asked for at a door, or because a machine died; made in Prefect by the reconciler."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from db import audit, due_times, runs, stored
from db.errors import RunIsOver, RunNotFound, TaskIsDeleted, TaskNotFound
from db.notifications import Topic, notify, of
from db.runs import Ending, RunKey
from db.specs import AnyTask, as_document, parse_task
from db.states import WAITING_STATES, RunState, Trigger
from db.tables import Run, RunRequest, Task, TaskStatus

ODD = timedelta(minutes=5)
"""A clock that is further off was set."""


def request_run(
    session: Session, task_id: UUID, *, action: Mapping[str, Any] | None = None, actor: str, now: datetime
) -> UUID:
    """Asks for a run now, also of a paused task; the answer is the request's id.

    With members of an `action`, it is a test that has these instead of its task's.

    Raises:
        TaskNotFound, TaskIsDeleted.
        InvalidTask: the task cannot do this.
    """
    task = session.get(Task, task_id)
    if task is None:
        raise TaskNotFound(task_id)
    if task.deleted_at is not None:
        raise TaskIsDeleted(task.name)
    stored.sound(task.spec)
    request = RunRequest(
        id=uuid4(),
        task_id=task_id,
        requested_at=now,
        actor=actor,
        trigger=Trigger.MANUAL if action is None else Trigger.TEST,
        due_at=now,
        not_before=now,
        attempt=1,
        action=None if action is None else as_document(_changed(task.spec, action))["action"],
    )
    session.add(request)
    change = "task.run_requested" if action is None else "task.test_requested"
    audit.record(session, at=now, actor=actor, change=change, task=task)
    notify(session, [Topic.SYNC])
    return request.id


def _changed(spec: Mapping[str, Any], action: Mapping[str, Any]) -> AnyTask:
    return parse_task({**spec, "action": {**spec["action"], **action}})


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that has no run yet, with what is needed to make one."""

    id: UUID
    due_at: datetime
    trigger: Trigger
    attempt: int
    rerun_of: UUID | None
    task_id: UUID
    task_name: str
    task_version: int
    deployment_id: UUID | None
    changed: AnyTask | None = None
    """The task as this run is to be, where it is a test."""
    broken: str | None = None
    """Why that cannot be told."""


def open_requests(
    session: Session, *, now: datetime, limit: int = 200, besides: Collection[UUID] = ()
) -> Sequence[OpenRequest]:
    """The requests that need a run now, longest waiting first; after them those of tasks that are not deployed yet."""
    # What was asked for in the future was asked for while the clock was ahead.
    is_time = or_(RunRequest.not_before <= now, RunRequest.requested_at > now + ODD)
    asked = (RunRequest.id, RunRequest.due_at, RunRequest.trigger, RunRequest.attempt, RunRequest.rerun_of)
    rows = session.execute(
        select(*asked, Task.id, Task.name, Task.version, TaskStatus.deployment_id, RunRequest.action, Task.spec)
        .join(Task, Task.id == RunRequest.task_id)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .where(RunRequest.run_id.is_(None), RunRequest.refused.is_(None), is_time)
        .where(RunRequest.id.not_in(besides))
        .order_by(TaskStatus.deployment_id.is_(None), RunRequest.not_before)
        .limit(limit)
    )
    return [_open(OpenRequest(*row[:-2]), action=row.action, spec=row.spec) for row in rows]


def _open(request: OpenRequest, *, action: dict[str, Any] | None, spec: dict[str, Any]) -> OpenRequest:
    if action is None:
        return request
    try:
        return replace(request, changed=_changed(spec, action))
    except Exception as error:  # noqa: BLE001 - whatever is stored there
        return replace(request, broken=stored.why(error))


def refuse_open(session: Session, task_id: UUID, *, why: str, now: datetime) -> None:
    """No runs are made any more for what was asked of this task so far."""
    open_now = select(RunRequest).where(
        RunRequest.task_id == task_id, RunRequest.run_id.is_(None), RunRequest.refused.is_(None)
    )
    for request in session.scalars(open_now.with_for_update()):
        _refuse(session, request, why=why, now=now)


def _refuse(session: Session, request: RunRequest, *, why: str, now: datetime) -> None:
    request.refused = why
    if request.rerun_of is not None:
        # What the lost run did is all that happened at that due time.
        runs.decide_due_time(session, RunKey(request.rerun_of, request.due_at), Ending(RunState.CRASHED, now))
    session.flush()


def fulfil(session: Session, request: OpenRequest, run_id: UUID) -> None:
    """Notes the run that Prefect made for the request, and shows it as scheduled; cancels it if that was asked for."""
    withdrawn = session.scalar(
        update(RunRequest).where(RunRequest.id == request.id).values(run_id=run_id).returning(RunRequest.refused)
    )
    runs.insert_run(
        session,
        RunKey(run_id, request.due_at),
        task_id=request.task_id,
        task_name=request.task_name,
        task_version=request.task_version,
        trigger=request.trigger,
        attempt=request.attempt,
        rerun_of=request.rerun_of,
        state=RunState.SCHEDULED.value,
    )
    if request.rerun_of is not None:
        due_times.go_on(session, request.task_id, request.due_at, lost=request.rerun_of, run_id=run_id)
    if withdrawn is not None:
        with suppress(RunIsOver):
            runs.request_cancel(session, run_id, now=request.due_at)
    notify(session, [Topic.READY, of(Topic.READY, request.id)])


def reopen_waiting(session: Session, *, now: datetime) -> int:
    """Prefect lost the runs that waited in it: they are to be made anew. Returns how many that concerns."""
    waiting = (
        select(RunRequest, Run)
        .join(Run, Run.id == RunRequest.run_id)
        .where(Run.worker_id.is_(None), Run.state.in_(WAITING_STATES), Run.cancel_requested_at.is_(None))
    )
    found = session.execute(waiting.with_for_update()).all()
    for request, run in found:
        if request.rerun_of is not None:
            due_times.go_on(session, run.task_id, run.due_at, lost=run.id, run_id=request.rerun_of)
        ending = Ending(RunState.CANCELLED, now, error="Prefect lost it before it started. It is made anew.")
        runs.end_unclaimed(session, RunKey(run.id, run.due_at), ending)
        request.run_id = None
    session.flush()
    return len(found)


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
        due_at=row.RunRequest.due_at,
        task_id=row.Task.id,
        task_name=row.Task.name,
        task_version=row.Task.version,
        trigger=row.RunRequest.trigger,
        state=RunState.CANCELLED if row.RunRequest.refused else RunState.SCHEDULED,
        attempt=row.RunRequest.attempt,
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


def cancel(session: Session, any_id: UUID, *, actor: str, now: datetime) -> Run:
    """Asks for the run to be cancelled, by its id or its request's, also before it is made.

    Raises:
        RunNotFound, RunIsOver.
    """
    run = _cancel(session, any_id, now=now)
    task = session.get(Task, run.task_id)
    details = {"run_id": str(run.id), "due_at": run.due_at.isoformat()}
    audit.record(session, at=now, actor=actor, change="run.cancel_requested", task=task, details=details)
    return run


def _cancel(session: Session, any_id: UUID, *, now: datetime) -> Run:
    request = session.get(RunRequest, any_id, with_for_update=True, populate_existing=True)
    if request is None:
        return runs.request_cancel(session, any_id, now=now)
    if request.run_id is not None:
        return runs.request_cancel(session, request.run_id, now=now)
    if request.refused is not None:
        raise RunIsOver(RunState.CANCELLED)
    _refuse(session, request, why="Cancelled before it was made.", now=now)
    return as_waiting_run(session, any_id)

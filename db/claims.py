"""The claim: the one moment that decides whether, and by whom, a due time is run.

The task's row is locked first, so an edit, a pause or a delete is either before the claim, and counts, or after it.
What is due together is claimed together, in one transaction.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import due_times, runs
from db.arrays import INSTANTS, UUIDS, as_it_is, as_they_are, given_rows, in_rows, values_of
from db.due_times import is_foreign
from db.policies import ON_TIME, Situation, refusal, waits
from db.runs import RunKey
from db.specs import AnyTask, parse_task
from db.starts import Start, start_many
from db.states import ACTIVE_STATES, LEDGER_TRIGGERS, Outcome, Overlap, Reason, Trigger, reason_of
from db.tables import DueTime, Run, RunRequest, Task, TaskStatus, Worker, table_of
from db.texts import fit


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


FOLLOWING = (Trigger.RERUN, Trigger.CHAIN)
"""Runs of these triggers come after another one: they wait for what goes on, unless it is to be side by side."""
NAMED_IN_KEYS = (Trigger.MANUAL, Trigger.TEST, Trigger.CATCH_UP, Trigger.RERUN, Trigger.CHAIN)


def trigger_of(idempotency_key: str, *, auto_scheduled: bool) -> Trigger:
    """Why a flow run exists, as its key tells: Prefect's scheduler and the reconciler begin it with a word. Pure."""
    word = idempotency_key.partition(" ")[0]
    if auto_scheduled or word == "scheduled":
        return Trigger.SCHEDULE
    return Trigger(word) if word in NAMED_IN_KEYS else Trigger.PREFECT


@dataclass(frozen=True, slots=True)
class Claimed:
    """The worker has it: the task as it is at this moment."""

    key: RunKey
    task_id: UUID
    version: int
    task: AnyTask
    trigger: Trigger
    started_at: datetime
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class StandDown:
    """Not to be run: the flow run is to go quietly."""

    reason: Reason

    @property
    def message(self) -> str:
        """What Prefect is told of a run that somebody asked for."""
        return f"Not run: {self.reason}."


@dataclass(frozen=True, slots=True)
class Taken:
    """Another worker has this very run: leave it alone."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Ask again in a moment: the task is not known yet, or its last run has to end first."""


@dataclass(frozen=True, slots=True)
class StandAside:
    """Cannot be started as it is stored: a person has to mend it, and no other run waits for that."""

    message: str


Answer = Claimed | StandDown | StandAside | Taken | NotYet


@dataclass(frozen=True, slots=True)
class Wanted:
    """An offer that a worker wants to execute, and since when it has it in its hands."""

    offer: Offer
    held_at: datetime


# Made once: to make them takes longer than to execute them. Which states count stands in them as it is, so that the
# indexes that hold these states alone are used by a plan that is made once as well.
_TASKS, _STATUS, _DUE_TIMES, _RUNS = table_of(Task), table_of(TaskStatus), table_of(DueTime), table_of(Run)
_REQUESTS = table_of(RunRequest)
_GONE = select(Worker.id).where(Worker.id == bindparam("worker_id", type_=UUIDS), Worker.stopped_at.is_not(None))
_HOLD_TASKS = (
    select(
        *(_TASKS.c[name] for name in ("id", "spec", "version", "paused", "paused_until", "deleted_at")),
        _STATUS.c.deployment_id,
        _STATUS.c.planned_until,
        is_foreign(),
        _GONE.exists().label("worker_gone"),
    )
    .select_from(_TASKS.join(_STATUS, _STATUS.c.task_id == _TASKS.c.id))
    .where(_STATUS.c.deployment_id == func.any(bindparam("deployments", type_=ARRAY(UUIDS))))
    .order_by(_TASKS.c.id)
    .with_for_update(of=_TASKS, key_share=True)
)
_ASKED = given_rows("asked", task_id=UUIDS, due_at=INSTANTS)
_NOW = bindparam("now", type_=INSTANTS)


def _active_triggers(task_id: Any) -> Any:
    """Why the runs of a task exist that are going on; None where there are none."""
    active = (_RUNS.c.task_id == task_id, _RUNS.c.ended_at.is_(None), _RUNS.c.state.in_(as_they_are(ACTIVE_STATES)))
    return select(func.array_agg(_RUNS.c.trigger)).where(*active)


def _oldest_pending(task_id: Any) -> Any:
    other = _DUE_TIMES.alias()
    passed = (other.c.task_id == task_id, other.c.outcome == as_it_is(Outcome.PENDING), other.c.due_at <= _NOW)
    return select(func.min(other.c.due_at)).where(*passed).scalar_subquery()


_IS_NOTED = select(exists().where(_REQUESTS.c.run_id == bindparam("run_id", type_=UUIDS)))
_ACTIVE_TRIGGERS = _active_triggers(bindparam("task_id", type_=UUIDS))
_SCENES = (
    select(
        *(_DUE_TIMES.c[name] for name in ("task_id", "due_at", "outcome", "reason", "run_id")),
        _oldest_pending(_ASKED.c.task_id).label("oldest_due_at"),
        due_times.newest_passed(_ASKED.c.task_id, now=_NOW),
        due_times.is_running(_ASKED.c.task_id).label("due_time_running"),
        _active_triggers(_ASKED.c.task_id).scalar_subquery().label("active_triggers"),
    )
    .select_from(
        _DUE_TIMES.join(_ASKED, (_DUE_TIMES.c.task_id == _ASKED.c.task_id) & (_DUE_TIMES.c.due_at == _ASKED.c.due_at))
    )
    .with_for_update(of=_DUE_TIMES)
)


def claim(
    session: Session, offer: Offer, claimant: Claimant, *, now: datetime, held_at: datetime | None = None
) -> Answer:
    """Takes the offered run for the worker, or says why not. At most one worker ever gets `Claimed` for a due time."""
    return claim_many(session, [Wanted(offer, held_at or now)], claimant, clock=lambda: now)[offer.run_id]


def claim_many(
    session: Session, wanted: Sequence[Wanted], claimant: Claimant, *, clock: Callable[[], datetime]
) -> dict[UUID, Answer]:
    """The same for many, by the id of the run.

    The clock is asked when nobody else can claim a due time of these tasks or change them any more: only then it is
    known when the claim is.
    """
    deployments = list({one.offer.deployment_id for one in wanted})
    held = session.execute(_HOLD_TASKS, {"deployments": deployments, "worker_id": claimant.id})
    tasks = {row.deployment_id: row for row in held}
    if any(row.worker_gone for row in tasks.values()):
        return {one.offer.run_id: NotYet() for one in wanted}  # until it has found out, and is another one
    now = clock()
    answers: dict[UUID, Answer] = {}
    for round_ in _rounds(wanted):
        answers |= _claim_round(session, round_, tasks, claimant, now=now)
    return answers


def _rounds(wanted: Sequence[Wanted]) -> Iterator[Sequence[Wanted]]:
    """One of each task at a time: what is decided about one of its due times counts for the next."""
    rest = list(wanted)
    while rest:
        first = {one.offer.deployment_id: one for one in reversed(rest)}
        yield list(first.values())
        rest = [one for one in rest if first[one.offer.deployment_id] is not one]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An offer of a task that is there."""

    offer: Offer
    held_at: datetime
    task: Any
    """The row of `_HOLD_TASKS`."""
    spec: AnyTask

    @property
    def key(self) -> tuple[UUID, datetime]:
        """Of its due time."""
        return self.task.id, self.offer.due_at


def _claim_round(
    session: Session, round_: Sequence[Wanted], tasks: Mapping[UUID, Any], claimant: Claimant, *, now: datetime
) -> dict[UUID, Answer]:
    answers: dict[UUID, Answer] = {}
    candidates: list[_Candidate] = []
    for one in round_:
        found = _candidate(session, one, tasks.get(one.offer.deployment_id), now=now)
        if isinstance(found, _Candidate):
            candidates.append(found)
        else:
            answers[one.offer.run_id] = found
    refused = _refuse(session, candidates, now=now)
    free = [one for one in candidates if one.offer.run_id not in refused]
    return answers | refused | _take(session, free, claimant, now=now)


def _candidate(session: Session, one: Wanted, row: Any, *, now: datetime) -> _Candidate | Answer:
    """The offer with its task, whose ledger is complete then; or why it is none."""
    if row is None:
        return NotYet()
    if row.deleted_at is not None:
        return StandDown(Reason.DELETED)
    offer = replace(one.offer, trigger=Trigger.PREFECT) if row.foreign else one.offer
    try:
        candidate = _Candidate(offer, one.held_at, row, parse_task(row.spec))
        _complete(session, candidate, now=now)
    except (SQLAlchemyError, psycopg.Error):
        raise
    except Exception as error:  # noqa: BLE001 - what is stored may be anything, and the others are to start
        return _unreadable(row.id, error)
    return candidate


def _unreadable(task_id: UUID, error: Exception) -> StandAside:
    said = fit(str(error) or type(error).__name__, at_most=1000)
    return StandAside(f"Task {task_id} cannot be read as it is stored. Edit it, or roll it back: {said}")


def _complete(session: Session, one: _Candidate, *, now: datetime) -> None:
    until, needed = one.task.planned_until, max(now, one.offer.due_at)
    if one.offer.trigger in LEDGER_TRIGGERS and until is not None and until < needed:
        due_times.complete(session, session.get_one(Task, one.task.id, populate_existing=True), now=needed)


def _refuse(session: Session, candidates: Sequence[_Candidate], *, now: datetime) -> dict[UUID, Answer]:
    scenes = _scenes(session, [one.key for one in candidates if one.offer.trigger in LEDGER_TRIGGERS], now=now)
    refused: dict[UUID, Answer] = {}
    for one in candidates:
        if one.offer.trigger in LEDGER_TRIGGERS:
            answer = _refuse_due_time(session, one, scenes.get(one.key), now=now)
        else:
            answer = _refuse_following(session, one) if one.offer.trigger in FOLLOWING else None
        if answer is not None:
            refused[one.offer.run_id] = answer
    return refused


def _refuse_following(session: Session, one: _Candidate) -> Answer | None:
    """Prefect has it before it is noted here, and only then it is known as which attempt, and after what, it comes."""
    if not session.scalar(_IS_NOTED, {"run_id": one.offer.run_id}):
        return NotYet()
    goes_on = one.spec.overlap is not Overlap.ALLOW and session.scalar(_ACTIVE_TRIGGERS, {"task_id": one.task.id})
    return NotYet() if goes_on else None


def _refuse_due_time(session: Session, one: _Candidate, row: Any, *, now: datetime) -> Answer | None:
    if row is not None and row.run_id == one.offer.run_id:
        return None  # whose run it is, is told by the run
    if row is None or row.outcome != Outcome.PENDING:
        return StandDown(Reason.NOT_DUE)
    situation = _situation(one.task, row, now=now)
    refused = refusal(one.spec, situation)
    if refused is not None:
        due_times.settle(session, *one.key, outcome=refused.outcome, reason=refused.reason, now=now)
        return StandDown(refused.reason)
    if waits(one.spec, situation):
        due_times.put_in_line(session, *one.key)
        return NotYet()
    if situation.running and one.spec.overlap is Overlap.REPLACE:
        runs.request_cancel_of_task(session, one.task.id, states=ACTIVE_STATES, now=now)
    return None


def _scenes(session: Session, keys: Sequence[tuple[UUID, datetime]], *, now: datetime) -> dict[Any, Any]:
    """These due times, locked, each with what a decision about it depends on."""
    if not keys:
        return {}
    asked = values_of("asked", task_id=[key[0] for key in keys], due_at=[key[1] for key in keys])
    return {(row.task_id, row.due_at): row for row in session.execute(_SCENES, {**asked, "now": now})}


def _situation(task: Any, row: Any, *, now: datetime) -> Situation:
    active = row.active_triggers or ()
    return Situation(
        due_at=row.due_at,
        now=now,
        paused=due_times.is_paused_at(task, row.due_at),
        running=bool(active) or row.due_time_running,
        oldest_due_at=row.oldest_due_at,
        newest_due_at=row.newest_due_at,
        waits_for=reason_of(row.reason),
        catching_up=Trigger.CATCH_UP in active,
    )


def startable(session: Session, late: Sequence[Offer], *, now: datetime) -> set[UUID]:
    """Which of these runs, whose due times are long past, a claim would begin now: the next in turn of each task.

    It saves the claims of all the others, which after an outage are many.
    """
    offers = {(offer.deployment_id, offer.due_at): offer.run_id for offer in late}
    ends = (func.min(DueTime.due_at).label("oldest"), func.max(DueTime.due_at).label("newest"))
    tasks = session.execute(
        select(Task, TaskStatus.deployment_id, *ends)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .join(DueTime, DueTime.task_id == Task.id)
        .where(in_rows(TaskStatus.deployment_id, {offer.deployment_id for offer in late}), Task.deleted_at.is_(None))
        .where(DueTime.outcome == Outcome.PENDING, DueTime.due_at <= now, TaskStatus.planned_until >= now)
        .group_by(Task.id, TaskStatus.deployment_id)
    )
    next_ones = {
        (row.Task.id, due_at): (row.Task, offers[row.deployment_id, due_at])
        for row in tasks
        for due_at in (row.oldest, row.newest)
        if (row.deployment_id, due_at) in offers
    }
    found: set[UUID] = set()
    for key, scene in _scenes(session, list(next_ones), now=now).items():
        task, run_id = next_ones[key]
        if _would_begin(task, _situation(task, scene, now=now)):
            found.add(run_id)
    return found


def _would_begin(task: Task, situation: Situation) -> bool:
    try:
        spec = parse_task(task.spec)
    except Exception:  # noqa: BLE001 - a task that cannot be read keeps no other one waiting; its claim says so
        return True
    return refusal(spec, situation) is None and not waits(spec, situation)


def _take(
    session: Session, candidates: Sequence[_Candidate], claimant: Claimant, *, now: datetime
) -> dict[UUID, Answer]:
    if not candidates:
        return {}
    starts = {one.offer.run_id: _start_of(one, now=now) for one in candidates}
    attempts = start_many(session, list(starts.values()), worker_id=claimant.id, worker=claimant.name, started_at=now)
    return {
        run_id: _claimed(session, one, starts[run_id], claimant, attempts.get(run_id), now=now)
        for run_id, one in ((one.offer.run_id, one) for one in candidates)
    }


def _start_of(one: _Candidate, *, now: datetime) -> Start:
    offer = one.offer
    late = offer.trigger is Trigger.SCHEDULE and now - offer.due_at > ON_TIME
    trigger = Trigger.CATCH_UP if late else offer.trigger
    key = RunKey(offer.run_id, offer.due_at)
    return Start(key, one.task.id, one.spec.name, one.task.version, trigger.value, one.held_at)


def _claimed(
    session: Session, one: _Candidate, start: Start, claimant: Claimant, attempt: int | None, *, now: datetime
) -> Answer:
    if attempt is None:
        return _taken_before(runs.get_run(session, one.offer.run_id), claimant, one.task, one.spec)
    return Claimed(start.key, one.task.id, one.task.version, one.spec, Trigger(start.trigger), now, attempt)


def _taken_before(run: Run, claimant: Claimant, task: Task, spec: AnyTask) -> Answer:
    if run.worker_id is None:
        return StandDown(Reason.CANCELLED)
    if run.worker_id == claimant.id and run.ended_at is None:
        # It was claimed, and PostgreSQL went away before it could say so.
        key, started_at = RunKey(run.id, run.due_at), run.started_at or run.due_at
        return Claimed(key, task.id, task.version, spec, Trigger(run.trigger), started_at, run.attempt)
    return Taken()

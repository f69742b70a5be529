"""Runs: one execution each, from the moment that it is claimed or asked for to its end."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, or_, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from db import reruns
from db.arrays import INSTANTS, TEXTS, UUIDS, as_it_is, given_rows, in_rows, rows_of, values_of
from db.errors import BadCursor, RunIsOver, RunNotFound
from db.notifications import Topic, notify, of
from db.pages import Page, decode_cursor, encode_cursor
from db.plans import plan_for_values
from db.states import FINAL_STATES, Outcome, Reason, RunState, Trigger
from db.tables import DueTime, Run, TaskStatus, Worker, table_of
from db.texts import fit

# Made once: to make them takes longer than to execute them.
_TASK_STATUS, _RUNS = table_of(TaskStatus), table_of(Run)
_LAST = given_rows("last", task_id=UUIDS, run_id=UUIDS, due_at=INSTANTS, state=TEXTS)
# As it is, so that it is part of a plan that is made once.
_IS_TEST = (
    select(_RUNS.c.id)
    .where(_RUNS.c.id == _LAST.c.run_id, _RUNS.c.due_at == _LAST.c.due_at, _RUNS.c.trigger == as_it_is(Trigger.TEST))
    .correlate(_LAST)
    .exists()
)
_SHOW_AS_LAST = (
    update(_TASK_STATUS)
    .where(_TASK_STATUS.c.task_id == _LAST.c.task_id)
    .where(or_(_TASK_STATUS.c.last_due_at.is_(None), _TASK_STATUS.c.last_due_at <= _LAST.c.due_at))
    .where(~_IS_TEST)
    .values(last_run_id=_LAST.c.run_id, last_due_at=_LAST.c.due_at, last_state=_LAST.c.state)
)
_TOLD = given_rows("told", id=UUIDS, due_at=INSTANTS, state=TEXTS)
_MARK_REPORTED = (
    update(_RUNS)
    .where(_RUNS.c.id == _TOLD.c.id, _RUNS.c.due_at == _TOLD.c.due_at, _RUNS.c.state == _TOLD.c.state)
    .values(reported=True)
)


@dataclass(frozen=True, slots=True)
class RunKey:
    """What names a run: its id, and its due instant, by which runs are partitioned."""

    id: UUID
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. Its error may be any text: it is made storable here."""

    state: RunState
    ended_at: datetime
    exit_code: int | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if self.error is not None:
            object.__setattr__(self, "error", fit(self.error))


def insert_run(session: Session, key: RunKey, **values: Any) -> bool:
    """Adds the run, once; False where it is there already. `values` are columns of Run."""
    statement = insert(Run).values(id=key.id, due_at=key.due_at, **values).on_conflict_do_nothing().returning(Run.id)
    added = session.execute(statement).first() is not None
    if added:
        show_as_last(session, [(key, values["task_id"], values["state"])])
    return added


def next_attempt(
    session: Session, key: RunKey, *, worker_id: UUID, state: RunState, attempt: int, at: datetime | None = None
) -> bool:
    """Notes that the run waits for, or is in, another attempt; False where the run is not this worker's any more.

    `at` is when the attempt that it waits for is to start.
    """
    mine = (Run.worker_id == worker_id, Run.ended_at.is_(None))
    advanced = _advance(session, key, *mine, state=state, attempt=attempt, retry_at=at, reported=False)
    return advanced is not None


def finish(session: Session, key: RunKey, ending: Ending, *, worker_id: UUID, noted_at: datetime | None = None) -> bool:
    """Ends the run and decides its due time; False where the run is not this worker's any more.

    `noted_at` is the present instant, where the end was earlier.
    """
    values = {"exit_code": ending.exit_code, "noted_at": noted_at}
    return _end(session, key, ending, Run.worker_id == worker_id, **values)


def end_unclaimed(session: Session, key: RunKey, ending: Ending, *, held_by: UUID | None = None) -> bool:
    """Ends a run that no worker holds, or (`held_by`) whose worker is lost; False where that is not so any more."""
    return _end(session, key, ending, Run.worker_id.is_not_distinct_from(held_by))


def _end(session: Session, key: RunKey, ending: Ending, holder: ColumnElement[bool], **values: Any) -> bool:
    """Where the machine died, the run may go on elsewhere: then its due time is not decided yet."""
    goes_on = ending.state == RunState.CRASHED and reruns.request(session, key.id, holder, now=ending.ended_at)
    # Two machines' clocks may differ, and one machine's may be set back: a run never ends before it starts.
    ended_at = func.greatest(Run.started_at, ending.ended_at)
    values |= {"state": ending.state, "ended_at": ended_at, "error": ending.error, "reported": False}
    ended = _advance(session, key, holder, Run.ended_at.is_(None), **values)
    if ended is not None and not goes_on:
        decide_due_time(session, key, ending, started=ended.started_at is not None)
    return ended is not None


def decide_due_time(session: Session, key: RunKey, ending: Ending, *, started: bool = True) -> None:
    """The due time that this run claimed, if it claimed one.

    One that crashed is unknown; so it stays where the run that was to go on with it was never started.
    """
    unknown = ending.state == RunState.CRASHED or not started
    session.execute(
        update(DueTime)
        .where(DueTime.due_at == key.due_at, DueTime.run_id == key.id, DueTime.outcome == Outcome.RUNNING)
        .values(
            outcome=Outcome.UNKNOWN if unknown else Outcome.RAN,
            reason=Reason.WORKER_LOST if unknown else None,
            decided_at=ending.ended_at,
        )
    )


def _advance(session: Session, key: RunKey, *conditions: Any, **values: Any) -> Any:
    """The run's row after the change; None where the conditions are not met."""
    returned = (Run.task_id, Run.attempt, Run.started_at)
    row = session.execute(update(Run).where(*_is(key), *conditions).values(**values).returning(*returned)).first()
    if row is not None:
        show_as_last(session, [(key, row.task_id, values["state"])])
    return row


def show_as_last(session: Session, shown: Sequence[tuple[RunKey, UUID, RunState]]) -> None:
    """Keeps the newest run beside its task, whatever the order of arrival, and tells whoever looks."""
    newest = {task_id: (key, state) for key, task_id, state in sorted(shown, key=lambda one: one[0].due_at)}
    keys, states = [key for key, _ in newest.values()], [state for _, state in newest.values()]
    values = values_of(
        "last", task_id=list(newest), run_id=[key.id for key in keys], due_at=[key.due_at for key in keys], state=states
    )
    session.execute(_SHOW_AS_LAST, values)
    notify(session, topics_of((key, task_id) for key, task_id, _ in shown))


def topics_of(changed: Iterable[tuple[RunKey, UUID]]) -> list[str]:
    """What hints about changes of these runs, each with its task, are about."""
    pairs = list(changed)
    of_runs = (of(Topic.RUNS, key.id) for key, _ in pairs)
    of_tasks = (of(Topic.TASKS, one) for one in dict.fromkeys(task_id for _, task_id in pairs))
    return [Topic.RUNS, *of_runs, Topic.TASKS, *of_tasks]


def _is(key: RunKey) -> tuple[Any, Any]:
    return Run.id == key.id, Run.due_at == key.due_at


def observe(session: Session, key: RunKey, *, state: RunState, started_at: datetime | None) -> bool:
    """Notes what Prefect says of a run that no worker of ours claimed; False where it has ended or there is no news."""
    unclaimed = (Run.worker_id.is_(None), Run.ended_at.is_(None), Run.state != state)
    started = func.coalesce(started_at, Run.started_at)
    return _advance(session, key, *unclaimed, state=state, started_at=started) is not None


def observe_end(session: Session, key: RunKey, ending: Ending, *, started_at: datetime | None) -> bool:
    """Notes how, as Prefect says, a run ended that no worker of ours claimed; False where its end is known."""
    started = func.coalesce(started_at, Run.started_at)
    values = {
        "state": ending.state,
        "started_at": started,
        "ended_at": func.greatest(started, ending.ended_at),
        "error": ending.error,
    }
    ended = _advance(session, key, Run.worker_id.is_(None), Run.ended_at.is_(None), **values)
    if ended is not None:
        decide_due_time(session, key, ending, started=ended.started_at is not None)
    return ended is not None


def request_cancel(session: Session, run_id: UUID, *, now: datetime) -> Run:
    """Asks for the run to be cancelled; whoever holds it does so within seconds.

    Raises:
        RunNotFound, RunIsOver.
    """
    run = get_run(session, run_id)
    if run.state in FINAL_STATES:
        raise RunIsOver(run.state)
    asked = session.execute(
        update(Run)
        .where(*_is(RunKey(run.id, run.due_at)), Run.ended_at.is_(None), Run.cancel_requested_at.is_(None))
        .values(cancel_requested_at=now)
        .returning(Run.id)
    ).first()
    if asked:
        notify(session, [Topic.CANCEL, of(Topic.CANCEL, run_id), Topic.SYNC, Topic.RUNS, of(Topic.RUNS, run_id)])
    return get_run(session, run_id)


def request_cancel_of_task(session: Session, task_id: UUID, *, states: Iterable[RunState], now: datetime) -> None:
    """Asks for every run of the task that is in one of these states to be cancelled."""
    asked = session.scalars(
        update(Run)
        .where(Run.task_id == task_id, Run.ended_at.is_(None), Run.cancel_requested_at.is_(None), Run.state.in_(states))
        .values(cancel_requested_at=now)
        .returning(Run.id)
    ).all()
    if asked:
        notify(session, [Topic.CANCEL, Topic.SYNC, *(of(Topic.CANCEL, run_id) for run_id in asked)])


def get_run(session: Session, run_id: UUID) -> Run:
    """The run of this id.

    Raises:
        RunNotFound.
    """
    run = session.scalar(select(Run).where(Run.id == run_id).execution_options(populate_existing=True))
    if run is None:
        raise RunNotFound(run_id)
    return run


def get_many(session: Session, keys: Iterable[tuple[UUID, datetime]]) -> dict[UUID, Run]:
    """The runs of these ids and due instants."""
    wanted = list(keys)
    if not wanted:
        return {}
    ids, instants = zip(*wanted, strict=True)
    # Row by row, so that each is looked for in its own month only.
    asked = rows_of("asked", id=(UUIDS, ids), due_at=(INSTANTS, instants))
    found = session.scalars(select(Run).join(asked, (Run.id == asked.c.id) & (Run.due_at == asked.c.due_at)))
    return {run.id: run for run in found}


def list_runs(
    session: Session,
    *,
    task_id: UUID | None = None,
    state: RunState | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Run]:
    """A page of runs, newest first, by due instant.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    query = select(Run)
    if task_id is not None:
        query = query.where(Run.task_id == task_id)
    if state is not None:
        plan_for_values(session)
        query = query.where(Run.state == state)
    if from_at is not None:
        query = query.where(Run.due_at >= from_at)
    if to_at is not None:
        query = query.where(Run.due_at < to_at)
    if cursor is not None:
        last = _key_in(cursor)
        # The first condition, implied by the second, is the one that skips partitions.
        query = query.where(
            Run.due_at <= last.due_at, tuple_(Run.due_at, Run.id) < tuple_(literal(last.due_at), literal(last.id))
        )
    rows = session.scalars(query.order_by(Run.due_at.desc(), Run.id.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    last_row = rows[limit - 1] if more else None
    return Page(rows[:limit], encode_cursor(last_row.due_at.isoformat(), str(last_row.id)) if last_row else None)


def _key_in(cursor: str) -> RunKey:
    due_at, run_id = decode_cursor(cursor, keys=2)
    try:
        return RunKey(UUID(run_id), datetime.fromisoformat(due_at))
    except ValueError:
        raise BadCursor from None


def recent_runs(session: Session, task_ids: Sequence[UUID], *, count: int) -> dict[UUID, list[Run]]:
    """The last runs of each task, oldest first: the dots of a list."""
    asked = rows_of("asked", task_id=(UUIDS, task_ids))
    newest = (
        select(Run)
        .where(Run.task_id == asked.c.task_id)
        .order_by(Run.due_at.desc(), Run.id.desc())
        .limit(count)
        .correlate(asked)
        .lateral()
    )
    run = aliased(Run, newest)
    found: dict[UUID, list[Run]] = {task_id: [] for task_id in task_ids}
    for each in session.scalars(select(run).select_from(asked).join(run, true()).order_by(run.due_at, run.id)):
        found[each.task_id].append(each)
    return found


def to_cancel(session: Session, *, besides: Collection[UUID] = (), limit: int = 1000) -> Sequence[Run]:
    """The runs that somebody wants cancelled and no worker of ours holds."""
    wanted = (Run.ended_at.is_(None), Run.cancel_requested_at.is_not(None), Run.worker_id.is_(None))
    query = select(Run).where(*wanted, Run.id.not_in(besides))
    return session.scalars(query.order_by(Run.due_at).limit(limit)).all()


def cancel_requested_of(session: Session, worker_id: UUID) -> Sequence[UUID]:
    """The runs of a worker that somebody wants cancelled."""
    query = select(Run.id).where(
        Run.worker_id == worker_id, Run.ended_at.is_(None), Run.cancel_requested_at.is_not(None)
    )
    return session.scalars(query).all()


def lost_runs(session: Session, *, besides: Collection[UUID] = ()) -> list[tuple[Run, Worker]]:
    """The runs whose worker has stopped without ending them, and the worker."""
    query = select(Run, Worker).join(Worker, Worker.id == Run.worker_id).where(Run.id.not_in(besides))
    rows = session.execute(query.where(Run.ended_at.is_(None), Worker.stopped_at.is_not(None)).limit(1000))
    return [(row.Run, row.Worker) for row in rows]


def unreported(
    session: Session,
    *,
    besides: Collection[UUID] = (),
    before: datetime | None = None,
    without: Collection[UUID] = (),
    limit: int = 200,
) -> Sequence[Run]:
    """The runs whose state Prefect has not been told, without those of some workers that were due since an instant.

    Nor are there those whose ids are `without`.
    """
    theirs = in_rows(Run.worker_id, besides) & Run.worker_id.is_not(None)
    query = select(Run).where(
        ~Run.reported, Run.id.not_in(without), ~theirs if before is None else (Run.due_at < before) | ~theirs
    )
    return session.scalars(query.order_by(Run.due_at).limit(limit)).all()


def mark_reported(session: Session, key: RunKey, *, state: RunState) -> None:
    """Prefect knows of this state; a newer one still has to be told."""
    mark_all_reported(session, [(key, state)])


def mark_all_reported(session: Session, told: Sequence[tuple[RunKey, RunState]]) -> None:
    """The same of many."""
    # In one order, so that two who do so wait for each other and not both.
    told = sorted(told, key=lambda one: one[0].id)
    keys, states = [key for key, _ in told], [state for _, state in told]
    values = values_of("told", id=[key.id for key in keys], due_at=[key.due_at for key in keys], state=states)
    session.execute(_MARK_REPORTED, values)


def held_by_workers(session: Session, run_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these runs a worker of ours claimed: what Prefect says of them is an echo."""
    query = select(Run.id).where(in_rows(Run.id, run_ids), Run.worker_id.is_not(None))
    return set(session.scalars(query))

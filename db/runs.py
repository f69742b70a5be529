"""Runs: one execution each, from the moment that it is claimed or asked for to its end."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import TableValuedAlias

from db import reruns
from db.arrays import INSTANTS, INTEGERS, TEXTS, UUIDS, in_rows, rows_of
from db.errors import BadCursor, RunIsOver, RunNotFound
from db.notifications import Topic, notify, of
from db.pages import Page, decode_cursor, encode_cursor
from db.states import FINAL_STATES, WAITING_STATES, Outcome, Reason, RunState
from db.tables import DueTime, Run, Task, TaskStatus, Worker


@dataclass(frozen=True, slots=True)
class RunKey:
    """What names a run: its id, and its due instant, by which runs are partitioned."""

    id: UUID
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    state: RunState
    ended_at: datetime
    exit_code: int | None = None
    error: str | None = None


def insert_run(session: Session, key: RunKey, **values: Any) -> bool:
    """Adds the run, once; False where it is there already. `values` are columns of Run."""
    statement = insert(Run).values(id=key.id, due_at=key.due_at, **values).on_conflict_do_nothing().returning(Run.id)
    added = session.execute(statement).first() is not None
    if added:
        _show_as_last(session, [(key, values["task_id"], values["state"])])
    return added


@dataclass(frozen=True, slots=True)
class Start:
    """A run that a worker takes: its task as it is at that moment, and since when the worker had it in its hands."""

    key: RunKey
    task_id: UUID
    task_name: str
    task_version: int
    trigger: str
    held_at: datetime


def start_many(
    session: Session, starts: Sequence[Start], *, worker_id: UUID, worker: str, started_at: datetime
) -> dict[UUID, int]:
    """Takes runs for a worker, each once, and returns which attempt each is to begin with.

    Those are missing that were taken before, have ended, or are to be cancelled.
    """
    offered = _table_of(starts)
    taken = {"state": RunState.RUNNING, "reported": False, "started_at": started_at}
    taken |= {"worker_id": worker_id, "worker": worker}
    attempts = _insert_taken(session, offered, taken)
    rest = [one for one in starts if one.key.id not in attempts]
    attempts |= _take_waiting(session, rest, taken) if rest else {}
    _show_as_last(session, [(one.key, one.task_id, RunState.RUNNING) for one in starts if one.key.id in attempts])
    return attempts


def _table_of(starts: Sequence[Start]) -> TableValuedAlias:
    return rows_of(
        "offered",
        id=(UUIDS, [one.key.id for one in starts]),
        due_at=(INSTANTS, [one.key.due_at for one in starts]),
        task_id=(UUIDS, [one.task_id for one in starts]),
        task_name=(TEXTS, [one.task_name for one in starts]),
        task_version=(INTEGERS, [one.task_version for one in starts]),
        trigger=(TEXTS, [one.trigger for one in starts]),
        held_at=(INSTANTS, [one.held_at for one in starts]),
    )


def _insert_taken(session: Session, offered: TableValuedAlias, taken: dict[str, Any]) -> dict[UUID, int]:
    """Those that nobody knew of before."""
    names, values = [*offered.c.keys(), *taken], [*offered.c, *(literal(value) for value in taken.values())]
    new = insert(Run).from_select(names, select(*values)).on_conflict_do_nothing().returning(Run.id, Run.attempt)
    return {row.id: row.attempt for row in session.execute(new)}


def _take_waiting(session: Session, starts: Sequence[Start], taken: dict[str, Any]) -> dict[UUID, int]:
    """Those that were asked for. A rerun stays one: the ledger's view of why it was made is older."""
    offered = _table_of(starts)
    seen = {name: offered.c[name] for name in ("task_name", "task_version", "held_at")}
    free = (Run.state.in_(WAITING_STATES), Run.cancel_requested_at.is_(None))
    waiting = update(Run).where(Run.id == offered.c.id, Run.due_at == offered.c.due_at, *free)
    rows = session.execute(waiting.values(**taken, **seen).returning(Run.id, Run.attempt))
    return {row.id: row.attempt for row in rows}


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


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a run that a worker holds."""

    key: RunKey
    task_id: UUID
    worker_id: UUID
    ending: Ending


def finish_many(session: Session, finishes: Sequence[Finish], *, clock: Callable[[], datetime]) -> list[bool]:
    """Ends runs and decides their due times, at an instant that the clock is asked for when nobody else is in between.

    False for those that are not their worker's any more.
    """
    task_ids = {one.task_id for one in finishes}
    # Nobody claims a due time of these tasks, edits them or ends a run of theirs until this is committed.
    session.execute(select(Task.id).where(in_rows(Task.id, task_ids)).order_by(Task.id).with_for_update(key_share=True))
    noted_at = clock()
    ended = _finish_plain(session, [one for one in finishes if one.ending.state is not RunState.CRASHED], noted_at)
    for one in finishes:
        if one.ending.state is RunState.CRASHED and finish(
            session, one.key, one.ending, worker_id=one.worker_id, noted_at=noted_at
        ):
            ended.add(one)
    return [one in ended for one in finishes]


def _finish_plain(session: Session, finishes: Sequence[Finish], noted_at: datetime) -> set[Finish]:
    """Those that nothing follows from."""
    if not finishes:
        return set()
    told = rows_of(
        "told",
        id=(UUIDS, [one.key.id for one in finishes]),
        due_at=(INSTANTS, [one.key.due_at for one in finishes]),
        task_id=(UUIDS, [one.task_id for one in finishes]),
        worker_id=(UUIDS, [one.worker_id for one in finishes]),
        state=(TEXTS, [one.ending.state for one in finishes]),
        ended_at=(INSTANTS, [one.ending.ended_at for one in finishes]),
        exit_code=(INTEGERS, [one.ending.exit_code for one in finishes]),
        error=(TEXTS, [one.ending.error for one in finishes]),
    )
    mine = (Run.id == told.c.id, Run.due_at == told.c.due_at, Run.worker_id == told.c.worker_id, Run.ended_at.is_(None))
    values: dict[str, Any] = {name: told.c[name] for name in ("state", "exit_code", "error")}
    values |= {"ended_at": func.greatest(Run.started_at, told.c.ended_at), "noted_at": noted_at, "reported": False}
    rows = session.execute(update(Run).where(*mine).values(**values).returning(Run.id, Run.worker_id)).tuples()
    theirs = set(rows)
    ended = {one for one in finishes if (one.key.id, one.worker_id) in theirs}
    claimed = (DueTime.task_id == told.c.task_id, DueTime.due_at == told.c.due_at, DueTime.run_id == told.c.id)
    session.execute(
        update(DueTime)
        .where(*claimed, DueTime.outcome == Outcome.RUNNING, in_rows(DueTime.run_id, [one.key.id for one in ended]))
        .values(outcome=Outcome.RAN, reason=None, decided_at=told.c.ended_at)
    )
    _show_as_last(session, [(one.key, one.task_id, one.ending.state) for one in ended])
    return ended


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
        _show_as_last(session, [(key, row.task_id, values["state"])])
    return row


def _show_as_last(session: Session, shown: Sequence[tuple[RunKey, UUID, RunState]]) -> None:
    """Keeps the newest run beside its task, whatever the order of arrival, and tells whoever looks."""
    newest = {task_id: (key, state) for key, task_id, state in sorted(shown, key=lambda one: one[0].due_at)}
    last = rows_of(
        "last",
        task_id=(UUIDS, list(newest)),
        run_id=(UUIDS, [key.id for key, _ in newest.values()]),
        due_at=(INSTANTS, [key.due_at for key, _ in newest.values()]),
        state=(TEXTS, [state for _, state in newest.values()]),
    )
    newer = or_(TaskStatus.last_due_at.is_(None), TaskStatus.last_due_at <= last.c.due_at)
    session.execute(
        update(TaskStatus)
        .where(TaskStatus.task_id == last.c.task_id, newer)
        .values(last_run_id=last.c.run_id, last_due_at=last.c.due_at, last_state=last.c.state)
    )
    of_runs = [of(Topic.RUNS, key.id) for key, _, _ in shown]
    notify(session, [Topic.RUNS, *of_runs, Topic.TASKS, *(of(Topic.TASKS, task_id) for task_id in newest)])


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
    found = session.scalars(select(Run).where(tuple_(Run.id, Run.due_at).in_(wanted)))
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
    newest = select(Run).order_by(Run.due_at.desc(), Run.id.desc()).limit(count)
    return {t: list(reversed(session.scalars(newest.where(Run.task_id == t)).all())) for t in task_ids}


def open_runs(session: Session, *, limit: int = 5000) -> Sequence[Run]:
    """The runs that have not ended."""
    return session.scalars(select(Run).where(Run.ended_at.is_(None)).order_by(Run.due_at).limit(limit)).all()


def cancel_requested_of(session: Session, worker_id: UUID) -> Sequence[UUID]:
    """The runs of a worker that somebody wants cancelled."""
    query = select(Run.id).where(
        Run.worker_id == worker_id, Run.ended_at.is_(None), Run.cancel_requested_at.is_not(None)
    )
    return session.scalars(query).all()


def lost_runs(session: Session) -> list[tuple[Run, Worker]]:
    """The runs whose worker has stopped without ending them, and the worker."""
    query = select(Run, Worker).join(Worker, Worker.id == Run.worker_id)
    rows = session.execute(query.where(Run.ended_at.is_(None), Worker.stopped_at.is_not(None)).limit(1000))
    return [(row.Run, row.Worker) for row in rows]


def unreported(session: Session, *, limit: int = 200) -> Sequence[Run]:
    """The runs whose state Prefect has not been told."""
    return session.scalars(select(Run).where(~Run.reported).order_by(Run.due_at).limit(limit)).all()


def mark_reported(session: Session, key: RunKey, *, state: RunState) -> None:
    """Prefect knows of this state; a newer one still has to be told."""
    mark_all_reported(session, [(key, state)])


def mark_all_reported(session: Session, told: Sequence[tuple[RunKey, RunState]]) -> None:
    """The same of many."""
    known = rows_of(
        "known",
        id=(UUIDS, [key.id for key, _ in told]),
        due_at=(INSTANTS, [key.due_at for key, _ in told]),
        state=(TEXTS, [state for _, state in told]),
    )
    same = (Run.id == known.c.id, Run.due_at == known.c.due_at, Run.state == known.c.state)
    session.execute(update(Run).where(*same).values(reported=True))


def held_by_workers(session: Session, run_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these runs a worker of ours claimed: what Prefect says of them is an echo."""
    query = select(Run.id).where(Run.id.in_(run_ids), Run.worker_id.is_not(None))
    return set(session.scalars(query))

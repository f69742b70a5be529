"""Finishes: the ends of runs that workers hold, noted many at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from db.arrays import INSTANTS, INTEGERS, TEXTS, UUIDS, as_it_is, given_rows, values_of
from db.runs import Ending, RunKey, finish, show_as_last
from db.states import Outcome, RunState
from db.tables import DueTime, Run, Task, table_of


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a run that a worker holds."""

    key: RunKey
    task_id: UUID
    worker_id: UUID
    ending: Ending


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has not ended, and its task."""

    key: RunKey
    task_id: UUID


# Made once: to make them takes longer than to execute them.
_TASKS, _RUNS, _DUE_TIMES = table_of(Task), table_of(Run), table_of(DueTime)
_HOLD_TASKS = (
    select(_TASKS.c.id)
    .where(_TASKS.c.id == func.any(bindparam("task_ids", type_=ARRAY(UUIDS))))
    .order_by(_TASKS.c.id)
    .with_for_update(key_share=True)
)
_ENDED = given_rows(
    "ended", id=UUIDS, due_at=INSTANTS, task_id=UUIDS, worker_id=UUIDS, state=TEXTS, ended_at=INSTANTS,
    exit_code=INTEGERS, error=TEXTS,
)  # fmt: skip
_END_RUNS = (
    update(_RUNS)
    .where(_RUNS.c.id == _ENDED.c.id, _RUNS.c.due_at == _ENDED.c.due_at)
    .where(_RUNS.c.worker_id == _ENDED.c.worker_id, _RUNS.c.ended_at.is_(None))
    .values(
        state=_ENDED.c.state,
        # Two machines' clocks may differ, and one machine's may be set back: a run never ends before it starts.
        ended_at=func.greatest(_RUNS.c.started_at, _ENDED.c.ended_at),
        exit_code=_ENDED.c.exit_code,
        error=_ENDED.c.error,
        noted_at=bindparam("noted_at", type_=INSTANTS),
        reported=False,
    )
    .returning(_RUNS.c.id, _RUNS.c.worker_id)
)
_DECIDE_DUE_TIMES = (
    update(_DUE_TIMES)
    .where(_DUE_TIMES.c.task_id == _ENDED.c.task_id, _DUE_TIMES.c.due_at == _ENDED.c.due_at)
    .where(_DUE_TIMES.c.run_id == _ENDED.c.id, _DUE_TIMES.c.outcome == as_it_is(Outcome.RUNNING))
    .values(outcome=Outcome.RAN.value, reason=None, decided_at=_ENDED.c.ended_at)
)


def finish_many(session: Session, finishes: Sequence[Finish], *, clock: Callable[[], datetime]) -> list[bool]:
    """Ends runs and decides their due times, at an instant that the clock is asked for when nobody else is in between.

    False for those that are not their worker's any more.
    """
    # Nobody claims a due time of these tasks, edits them or ends a run of theirs until this is committed.
    session.execute(_HOLD_TASKS, {"task_ids": list({one.task_id for one in finishes})})
    noted_at = clock()
    ended = _end(session, [one for one in finishes if one.ending.state is not RunState.CRASHED], noted_at)
    for one in finishes:
        # A run that crashed may go on elsewhere: that is looked at one by one.
        if one.ending.state is RunState.CRASHED and finish(
            session, one.key, one.ending, worker_id=one.worker_id, noted_at=noted_at
        ):
            ended.add(one)
    return [one in ended for one in finishes]


def _end(session: Session, finishes: Sequence[Finish], noted_at: datetime) -> set[Finish]:
    if not finishes:
        return set()
    rows = session.execute(_END_RUNS, {**_values(finishes), "noted_at": noted_at}).tuples()
    theirs = set(rows)
    ended = {one for one in finishes if (one.key.id, one.worker_id) in theirs}
    if ended:
        session.execute(_DECIDE_DUE_TIMES, _values(tuple(ended)))
        show_as_last(session, [(one.key, one.task_id, one.ending.state) for one in ended])
    return ended


def _values(finishes: Sequence[Finish]) -> dict[str, Any]:
    return values_of(
        "ended",
        id=[one.key.id for one in finishes],
        due_at=[one.key.due_at for one in finishes],
        task_id=[one.task_id for one in finishes],
        worker_id=[one.worker_id for one in finishes],
        state=[one.ending.state.value for one in finishes],
        ended_at=[one.ending.ended_at for one in finishes],
        exit_code=[one.ending.exit_code for one in finishes],
        error=[one.ending.error for one in finishes],
    )


def open_of(session: Session, worker_id: UUID) -> list[OpenRun]:
    """The runs that a worker executes, as far as the catalogue knows."""
    query = select(Run.id, Run.due_at, Run.task_id).where(Run.worker_id == worker_id, Run.ended_at.is_(None))
    return [OpenRun(RunKey(row.id, row.due_at), row.task_id) for row in session.execute(query)]

"""Starts: the moment at which runs become a worker's, each of them once, and many of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, bindparam, text, update
from sqlalchemy.orm import Session

from db.arrays import INSTANTS, INTEGERS, TEXTS, UUIDS, as_it_is, as_they_are, given_rows, values_of
from db.runs import RunKey, show_as_last
from db.states import WAITING_STATES, Outcome, RunState
from db.tables import DueTime, Run, table_of


@dataclass(frozen=True, slots=True)
class Start:
    """A run that a worker takes: its task as it is at that moment, and since when the worker had it in its hands."""

    key: RunKey
    task_id: UUID
    task_name: str
    task_version: int
    trigger: str
    held_at: datetime


# Made once: to make them takes longer than to execute them.
_RUNS, _DUE_TIMES = table_of(Run), table_of(DueTime)
_OFFERED = given_rows(
    "offered", id=UUIDS, due_at=INSTANTS, task_id=UUIDS, task_name=TEXTS, task_version=INTEGERS, trigger=TEXTS,
    held_at=INSTANTS,
)  # fmt: skip
_TAKEN = {
    "state": bindparam("state", type_=TEXTS),
    "reported": bindparam("reported", type_=Boolean()),
    "started_at": bindparam("started_at", type_=INSTANTS),
    "worker_id": bindparam("worker_id", type_=UUIDS),
    "worker": bindparam("worker", type_=TEXTS),
}
# As text, because SQLAlchemy makes a statement with ON CONFLICT anew every time.
_INSERT = text(
    "INSERT INTO runs (id, due_at, task_id, task_name, task_version, trigger, held_at,"
    " state, reported, started_at, worker_id, worker)"
    " SELECT offered.*, :state, :reported, :started_at, :worker_id, :worker FROM unnest("
    "CAST(:offered_id AS uuid[]), CAST(:offered_due_at AS timestamptz[]), CAST(:offered_task_id AS uuid[]),"
    " CAST(:offered_task_name AS text[]), CAST(:offered_task_version AS integer[]), CAST(:offered_trigger AS text[]),"
    " CAST(:offered_held_at AS timestamptz[])) AS offered"
    " ON CONFLICT DO NOTHING RETURNING id, attempt"
)
_TAKE_WAITING = (
    update(_RUNS)
    .where(_RUNS.c.id == _OFFERED.c.id, _RUNS.c.due_at == _OFFERED.c.due_at)
    .where(_RUNS.c.state.in_(as_they_are(WAITING_STATES)), _RUNS.c.cancel_requested_at.is_(None))
    # A rerun stays one: the ledger's view of why it was made is older, so the trigger is left alone.
    .values(**_TAKEN, **{name: _OFFERED.c[name] for name in ("task_name", "task_version", "held_at")})
    .returning(_RUNS.c.id, _RUNS.c.attempt)
)
_BEGUN = given_rows("begun", task_id=UUIDS, due_at=INSTANTS, run_id=UUIDS, version=INTEGERS)
_BEGIN = (
    update(_DUE_TIMES)
    .where(_DUE_TIMES.c.task_id == _BEGUN.c.task_id, _DUE_TIMES.c.due_at == _BEGUN.c.due_at)
    .where(_DUE_TIMES.c.outcome == as_it_is(Outcome.PENDING))
    .values(
        outcome=Outcome.RUNNING.value,
        reason=None,
        run_id=_BEGUN.c.run_id,
        task_version=_BEGUN.c.version,
        started_at=bindparam("started_at", type_=INSTANTS),
    )
)


def start_many(
    session: Session, starts: Sequence[Start], *, worker_id: UUID, worker: str, started_at: datetime
) -> dict[UUID, int]:
    """Takes runs for a worker, each once, and returns which attempt each is to begin with.

    Those are missing that were taken before, have ended, or are to be cancelled.
    """
    taken = {"state": RunState.RUNNING.value, "reported": False, "started_at": started_at}
    taken |= {"worker_id": worker_id, "worker": worker}
    attempts = {row.id: row.attempt for row in session.execute(_INSERT, taken | _values(starts))}
    rest = [one for one in starts if one.key.id not in attempts]
    if rest:  # asked for before, or somebody else's
        attempts |= {row.id: row.attempt for row in session.execute(_TAKE_WAITING, taken | _values(rest))}
    show_as_last(session, [(one.key, one.task_id, RunState.RUNNING) for one in starts if one.key.id in attempts])
    return attempts


def _values(starts: Sequence[Start]) -> dict[str, Any]:
    return values_of(
        "offered",
        id=[one.key.id for one in starts],
        due_at=[one.key.due_at for one in starts],
        task_id=[one.task_id for one in starts],
        task_name=[one.task_name for one in starts],
        task_version=[one.task_version for one in starts],
        trigger=[one.trigger for one in starts],
        held_at=[one.held_at for one in starts],
    )


def begin_due_times(session: Session, starts: Sequence[Start], *, started_at: datetime) -> None:
    """These runs execute the due times that they are named after."""
    begun = values_of(
        "begun",
        task_id=[one.task_id for one in starts],
        due_at=[one.key.due_at for one in starts],
        run_id=[one.key.id for one in starts],
        version=[one.task_version for one in starts],
    )
    session.execute(_BEGIN, {**begun, "started_at": started_at})

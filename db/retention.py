"""How long things are kept, and their removal.

A task says for how long, and asks for it; who asks is a worker, which may not remove anything. The reconciler does it,
where a task really says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from db import audit
from db.errors import MonthsInUse
from db.notifications import Topic, notify
from db.partitions import drop, old_partitions
from db.states import Kind
from db.tables import HousekeepingRequest, RunRequest, Task, Worker

DAYS = {"runs": 365, "logs": 90, "due_times": 365, "trash": 30}
"""For how many days each kind of thing is kept where nothing else is said."""
ENTRYPOINTS = ("flows.housekeeping.housekeeping", "flows.housekeeping:housekeeping")
NOT_SAID = "No task says that things are kept for so long. Change the housekeeping task, and run it as it is."
REMEMBERED = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Kept:
    """For how long each kind of thing is kept."""

    runs: timedelta = timedelta(days=DAYS["runs"])
    logs: timedelta = timedelta(days=DAYS["logs"])
    due_times: timedelta = timedelta(days=DAYS["due_times"])
    trash: timedelta = timedelta(days=DAYS["trash"])


def apply(session: Session, kept: Kept, *, now: datetime) -> dict[str, int]:
    """Removes what is older, irreversibly, and says how much of each.

    Runs, logs and due times go by whole months, when the month's last instant is older. To be committed at once.

    Raises:
        MonthsInUse: nothing is removed.
    """
    months = {
        "months of runs": old_partitions(session, before=now - kept.runs, tables=("runs",)),
        "months of logs": old_partitions(session, before=now - kept.logs, tables=("run_logs",)),
        "months of due times": old_partitions(session, before=now - kept.due_times, tables=("due_times",)),
    }
    trash = delete(Task).where(Task.deleted_at < now - kept.trash).returning(Task.id)
    requests = delete(RunRequest).where(RunRequest.requested_at < now - kept.runs).returning(RunRequest.id)
    gone = delete(Worker).where(Worker.stopped_at < now - kept.runs).returning(Worker.id)
    removed = {what: len(names) for what, names in months.items()}
    removed["tasks in the trash"] = len(session.execute(trash).all())
    removed["run requests"] = len(session.execute(requests).all())
    removed["workers"] = len(session.execute(gone).all())
    audit.record(session, at=now, actor=audit.SYSTEM, change="housekeeping", details=dict(removed))
    session.flush()
    # Last, because from here to the end of the transaction everybody waits.
    drop(session, [name for names in months.values() for name in names])
    return removed


def kept_by(parameters: Mapping[str, object]) -> Mapping[str, float]:
    """For how many days a housekeeping task with these parameters keeps each kind of thing."""
    given = {name: parameters.get(f"keep_{name}_days", days) for name, days in DAYS.items()}
    return {name: days for name, days in given.items() if isinstance(days, int | float)}


def kept_for(days: Mapping[str, float]) -> Kept:
    """The same as times."""
    return Kept(**{name: timedelta(days=count) for name, count in days.items()})


def request(session: Session, days: Mapping[str, float], *, now: datetime) -> UUID:
    """Asks for what is older to be removed; the id by which the answer is found."""
    request_id = uuid4()
    # These columns alone, because whoever asks may not write the others.
    session.execute(insert(HousekeepingRequest).values(id=request_id, requested_at=now, kept=dict(days)))
    notify(session, [Topic.SYNC])
    return request_id


def answer(session: Session, request_id: UUID) -> HousekeepingRequest | None:
    """What became of it; None while it waits."""
    found = session.get(HousekeepingRequest, request_id, populate_existing=True)
    return found if found is not None and found.done_at is not None else None


def fulfil(session: Session, *, now: datetime) -> bool:
    """Does what was asked for first; False where nothing waits. To be committed at once."""
    waiting = select(HousekeepingRequest).where(HousekeepingRequest.done_at.is_(None))
    first = waiting.order_by(HousekeepingRequest.requested_at).limit(1).with_for_update(skip_locked=True)
    asked = session.scalar(first)
    if asked is None:
        return False
    session.execute(delete(HousekeepingRequest).where(HousekeepingRequest.done_at < now - REMEMBERED))
    if not _is_said_by_a_task(session, asked.kept):
        asked.done_at, asked.refused = now, NOT_SAID
        return True
    try:
        with session.begin_nested():
            removed = apply(session, kept_for(asked.kept), now=now)
    except MonthsInUse as error:
        asked.done_at, asked.refused = now, str(error)
    else:
        asked.done_at, asked.removed = now, removed
    return True


def _is_said_by_a_task(session: Session, days: Mapping[str, float]) -> bool:
    action = Task.spec["action"]
    query = select(action["parameters"]).where(
        Task.kind == Kind.FLOW, Task.deleted_at.is_(None), action["entrypoint"].astext.in_(ENTRYPOINTS)
    )
    return any(kept_by(parameters) == days for parameters in session.scalars(query))

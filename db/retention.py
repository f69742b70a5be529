"""How long things are kept, and their removal."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from db import audit
from db.partitions import drop, old_partitions
from db.tables import RunRequest, Task, Worker

DAYS = {"runs": 365, "logs": 90, "due_times": 365, "trash": 30}
"""For how many days each kind of thing is kept where nothing else is said."""


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

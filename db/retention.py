"""How long things are kept, and their removal."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from db import audit
from db.partitions import drop_partitions
from db.tables import RunRequest, Task, Worker


@dataclass(frozen=True, slots=True)
class Kept:
    """For how long each kind of thing is kept."""

    runs: timedelta
    logs: timedelta
    due_times: timedelta
    trash: timedelta


def apply(session: Session, kept: Kept, *, now: datetime) -> dict[str, int]:
    """Removes what is older, irreversibly, and says how much of each.

    Runs, logs and due times go by whole months, when the month's last instant is older.
    """
    removed = {
        "months of runs": len(drop_partitions(session, before=now - kept.runs, tables=("runs",))),
        "months of logs": len(drop_partitions(session, before=now - kept.logs, tables=("run_logs",))),
        "months of due times": len(drop_partitions(session, before=now - kept.due_times, tables=("due_times",))),
    }
    trash = delete(Task).where(Task.deleted_at < now - kept.trash).returning(Task.id)
    requests = delete(RunRequest).where(RunRequest.requested_at < now - kept.runs).returning(RunRequest.id)
    gone = delete(Worker).where(Worker.stopped_at < now - kept.runs).returning(Worker.id)
    removed["tasks in the trash"] = len(session.execute(trash).all())
    removed["run requests"] = len(session.execute(requests).all())
    removed["workers"] = len(session.execute(gone).all())
    audit.record(session, at=now, actor=audit.SYSTEM, change="housekeeping", details=dict(removed))
    return removed

"""For how long things are kept: what the task that keeps house is told."""

from sqlalchemy.orm import Session

from dashboard.context import now
from db import task_views, tasks
from db.actions import FlowAction
from db.retention import Kept, kept_by, kept_for

TASK = "housekeeping"


def read(session: Session) -> Kept | None:
    """None where there is no such task, or it is paused: then everything is kept for ever."""
    task_id = tasks.task_by_name(session, TASK)
    if task_id is None:
        return None
    task = task_views.get_task(session, task_id, now=now())
    if task.spec.paused or not isinstance(task.spec.action, FlowAction):
        return None
    return kept_for(kept_by(task.spec.action.parameters))

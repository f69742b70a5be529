"""Tasks as rows of a grid. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dashboard import run_rows, track_record
from dashboard.badges import task_badges
from dashboard.components import Column
from dashboard.moments import moment, span, zone_of
from db.access import Role
from db.schedule_words import in_words
from db.tables import Run
from db.task_views import TaskView

RUNS_SHOWN = 20
TAGS_SHOWN = 3

COLUMNS = (
    Column("name", "Task", "title"),
    Column("state", "State", "badges"),
    Column("bars", "Last runs", "bars"),
    Column("next_due", "Next due", "away"),
    Column("last_run", "Last run", "away"),
    Column("rate", "Success", align="right", spare=True),
    Column("p95", "95 % take", align="right", spare=True),
    Column("tags", "Tags", "tags"),
)
RUN = {"key": "run", "icon": "run", "label": "Run now", "takes": Role.OPERATOR}
PAUSE = {"key": "pause", "icon": "pause", "label": "Pause", "takes": Role.OPERATOR}
RESUME = {"key": "resume", "icon": "resume", "label": "Resume", "takes": Role.OPERATOR}
EDIT = {"key": "edit", "icon": "edit", "label": "Edit", "takes": Role.EDITOR}
RESTORE = {"key": "restore", "icon": "restore", "label": "Restore", "takes": Role.EDITOR}


def row(task: TaskView, recent: Sequence[Run], viewer_zone: str) -> dict[str, Any]:
    """A task for a grid with the columns above."""
    zone = zone_of(task.spec, otherwise=viewer_zone)
    last = task.last_run
    return {
        "id": str(task.id),
        "name": {"text": task.spec.name, "href": f"task?id={task.id}", "sub": _schedule(task)},
        "state": [asdict(badge) for badge in task_badges(task, zone=zone)],
        "bars": run_rows.bars(recent, of=RUNS_SHOWN, zone=zone),
        "next_due": moment(task.next_due_at, zone),
        "last_run": moment(last.started_at or last.due_at, zone) if last else None,
        "rate": track_record.success_rate(recent),
        "p95": span(track_record.percentile_seconds(recent)),
        "tags": task.spec.tags[:TAGS_SHOWN],
        "actions": _actions(task),
        "dim": task.spec.paused or task.deleted_at is not None,
        "rev": [task.version, last.state if last else None, str(last.id) if last else None],
    }


def _schedule(task: TaskView) -> str:
    return in_words(task.spec.schedule.value()) if task.broken is None else ""


def _actions(task: TaskView) -> list[dict[str, str]]:
    if task.deleted_at is not None:
        return [RESTORE]
    return [RUN, RESUME if task.spec.paused else PAUSE, EDIT]

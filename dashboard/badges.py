"""States as people see them: a colour, an icon and a word, never a colour alone. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from dashboard.moments import in_full
from db.specs import ManualSchedule
from db.states import RunState
from db.stored import BROKEN
from db.task_views import TaskView

Tone = Literal["green", "red", "orange", "blue", "violet", "gray"]


@dataclass(frozen=True, slots=True)
class Badge:
    """What is shown for a state."""

    tone: Tone
    icon: str
    word: str
    title: str = ""


RUN_BADGES = {
    RunState.SCHEDULED: Badge("gray", "clock", "Scheduled"),
    RunState.PENDING: Badge("gray", "hand", "Pending"),
    RunState.RUNNING: Badge("blue", "spinner", "Running"),
    RunState.RETRYING: Badge("orange", "again", "Retrying"),
    RunState.COMPLETED: Badge("green", "check", "Completed"),
    RunState.FAILED: Badge("red", "cross", "Failed"),
    RunState.CRASHED: Badge("red", "bolt", "Crashed"),
    RunState.CANCELLED: Badge("gray", "ban", "Cancelled"),
    RunState.TIMED_OUT: Badge("red", "clock", "Timed out"),
}
DELETED = Badge("gray", "trash", "Deleted")
ON_DEMAND = Badge("gray", "hand", "On demand")
OVER = Badge("gray", "clock", "Not due again")


def run_badge(state: str, *, cancelling: bool = False) -> Badge:
    """The state of a run; `cancelling`: somebody asked for its end and it has not come yet."""
    return Badge("orange", "ban", "Cancelling") if cancelling else RUN_BADGES[RunState(state)]


def task_badges(task: TaskView, *, zone: str) -> list[Badge]:
    """How a task is, and whether Prefect knows it as it is."""
    return [_state(task, zone=zone), *_deployment(task)]


def _state(task: TaskView, *, zone: str) -> Badge:
    if task.deleted_at is not None:
        return DELETED
    if task.broken is not None:
        return Badge("red", "alert", "Broken", BROKEN.format(why=task.broken))
    if task.spec.paused:
        return Badge("gray", "pause", "Paused", pause_in_words(task.pause_reason, task.paused_until, zone=zone))
    if task.last_run is not None:
        return run_badge(task.last_run.state)
    if isinstance(task.spec.schedule, ManualSchedule):
        return ON_DEMAND
    return OVER if task.next_due_at is None else RUN_BADGES[RunState.SCHEDULED]


def _deployment(task: TaskView) -> list[Badge]:
    if task.deleted_at is not None or task.deployed:
        return []
    if task.sync_error:
        return [Badge("red", "alert", "Not deployed", task.sync_error)]
    return [Badge("violet", "cloud", "Deploying", "Prefect has not been told of this version yet.")]


def pause_in_words(reason: str | None, until: datetime | None, *, zone: str) -> str:
    """Why, and until when."""
    parts = [reason or "", f"until {in_full(until, zone)}" if until else "until it is resumed"]
    return ", ".join(filter(None, parts))

"""What a task says about itself, applied to a due time: is it run, has it to wait, or why not. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from db.schedules import Once, closing
from db.specs import AnyTask
from db.states import Misfire, Outcome, Overlap, Reason

ON_TIME = timedelta(seconds=60)
"""A due time that waits longer was missed, as far as `misfire` is concerned."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision about a due time depends on."""

    due_at: datetime
    now: datetime
    paused: bool
    running: bool
    """Whether a run of the task is going on, or was lost and goes on elsewhere in a moment."""
    oldest_due_at: datetime | None
    """Of the task's due times that have passed and are still pending."""
    newest_due_at: datetime | None
    """Of those that have passed, whatever became of them."""
    waits_for: Reason | None = None
    """Why it is pending still, if somebody said so."""
    catching_up: bool = False
    """Whether the run that goes on is of a due time that was missed."""

    @property
    def late(self) -> timedelta:
        return self.now - self.due_at

    @property
    def has_older(self) -> bool:
        return self.oldest_due_at is not None and self.oldest_due_at < self.due_at

    @property
    def has_newer(self) -> bool:
        return self.newest_due_at is not None and self.newest_due_at > self.due_at


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a due time is not run, and what the ledger says of it."""

    outcome: Outcome
    reason: Reason


def refusal(task: AnyTask, situation: Situation) -> Refusal | None:
    """Why this due time is not to be run, by the policies of its task; None where it is, now or in its turn. Pure."""
    if situation.paused:
        return Refusal(Outcome.SKIPPED, Reason.PAUSED)
    if _is_closed(task, situation):
        return Refusal(Outcome.SKIPPED, Reason.CLOSED)
    if situation.waits_for is not Reason.RESUMED:
        refused = _refused_as_late(task, situation)
        if refused is not None:
            return refused
    if task.overlap is Overlap.SKIP and situation.running and not _in_line(task, situation):
        return Refusal(Outcome.SKIPPED, Reason.OVERLAP)
    return None


def _is_closed(task: AnyTask, situation: Situation) -> bool:
    """The ledger says so of what is to come; of what a pause held back it has to be asked again."""
    if situation.waits_for is Reason.RESUMED:
        return closing(task.schedule.value(), situation.due_at) is not None
    return situation.waits_for is Reason.CLOSED


def _refused_as_late(task: AnyTask, situation: Situation) -> Refusal | None:
    late = situation.late
    if task.max_lateness_seconds is not None and late > timedelta(seconds=task.max_lateness_seconds):
        return Refusal(Outcome.MISSED, Reason.LATE)
    if late <= ON_TIME or situation.waits_for is Reason.QUEUED:
        return None  # what waits in line is no misfire: somebody was there to run it
    if task.misfire is Misfire.SKIP:
        return Refusal(Outcome.MISSED, Reason.LATE)
    if task.misfire is Misfire.LATEST and situation.has_newer and not _is_the_one(task, situation):
        return Refusal(Outcome.SKIPPED, Reason.SUPERSEDED)
    return None


def _is_the_one(task: AnyTask, situation: Situation) -> bool:
    """Whether it is what a one-shot asks for: then what was due by an earlier version of the task is no newer one."""
    schedule = task.schedule.value()
    return isinstance(schedule, Once) and schedule.at == situation.due_at


def waits(task: AnyTask, situation: Situation) -> bool:
    """Whether this due time, which is to be run, has to wait for those before it. Pure."""
    return _in_line(task, situation) and (situation.running or situation.has_older)


def _in_line(task: AnyTask, situation: Situation) -> bool:
    """Whether the task's due times are run one after the other: always, or while it catches up with each of them."""
    if task.overlap is Overlap.QUEUE or task.overlap is Overlap.ALLOW:
        return task.overlap is Overlap.QUEUE
    behind = situation.late > ON_TIME or situation.has_older or situation.catching_up
    return situation.waits_for is Reason.RESUMED or (task.misfire is Misfire.ALL and behind)

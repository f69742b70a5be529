"""What happened to a run, from the instant at which it was due: step by step, with the time between. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.moments import in_full, span, time_of_day
from db.states import FINAL_STATES, RunState
from db.tables import Run


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened; `gap` is what passed since the step before, in words."""

    word: str
    at: datetime
    gap: str = ""
    hint: str = ""


ENDS = {
    RunState.COMPLETED: "Completed",
    RunState.FAILED: "Failed",
    RunState.CRASHED: "Lost",
    RunState.CANCELLED: "Cancelled",
    RunState.TIMED_OUT: "Timed out",
}


def steps(run: Run) -> list[Step]:
    """In the order of time; what has not happened yet is left out."""
    found = [Step("Due", run.due_at, hint="When its schedule, or somebody, wanted it.")]
    if run.held_at is not None and run.held_at > run.due_at:
        found.append(_step(found, "In a worker's hands", run.held_at, "Until then it waited for a worker."))
    if run.started_at is not None:
        found.append(_step(found, "Claimed and started", run.started_at, "From here on no other worker could have it."))
    if run.retry_at is not None and run.state == RunState.RETRYING:
        found.append(_step(found, "Next attempt", run.retry_at, "It failed and is tried again."))
    if run.ended_at is not None and run.state in FINAL_STATES:
        found.append(_step(found, ENDS[RunState(run.state)], run.ended_at, ""))
    if run.noted_at is not None and run.ended_at is not None and (run.noted_at - run.ended_at).total_seconds() > 1:
        found.append(_step(found, "Noted", run.noted_at, "The catalogue was away when it ended."))
    return found


def _step(before: list[Step], word: str, at: datetime, hint: str) -> Step:
    seconds = (at - before[-1].at).total_seconds()
    gap = span(seconds) if seconds >= 0 else f"{span(-seconds)} before"
    return Step(word, at, gap, hint)


def as_data(run: Run, zone: str) -> list[dict[str, Any]]:
    """The steps as the component draws them."""
    return [
        {
            "word": step.word,
            "at": time_of_day(step.at, zone, precise=True),
            "title": "\n".join(filter(None, [in_full(step.at, zone), step.hint])),
            "gap": step.gap,
        }
        for step in steps(run)
    ]

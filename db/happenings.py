"""What happened to runs and due times, with what it takes to tell a person: read for messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from db import logs, runs
from db.events import Event
from db.states import FINAL_STATES, Mark, ProblemKind, RunState, Trigger
from db.tables import ProblemMark, Run, Task

FAILURES = frozenset({RunState.FAILED, RunState.CRASHED, RunState.TIMED_OUT})
LAST_LINES = 5
LOOKED_BACK = 1000


@dataclass(frozen=True, slots=True)
class Happening:
    """An event about a run or a due time, and its circumstances."""

    event: Event
    task_name: str
    tags: tuple[str, ...]
    timezone: str | None
    """Of the task's schedule."""
    muted: bool = False
    """Whether somebody said that it is not to be heard of."""
    run: Run | None = None
    failures_before: int = 0
    """How many of the task's runs failed in a row just before this one."""


def circumstances(session: Session, found: Sequence[Event], *, now: datetime) -> list[Happening]:
    """Of those events that are about a run that has begun or ended, or about a due time that was not run."""
    about = [event for event in found if _is_of_interest(event)]
    asked = select(Task.id, Task.name, Task.spec["tags"].label("tags"), Task.spec["schedule"].label("schedule"))
    tasks = {row.id: row for row in session.execute(asked.where(Task.id.in_(_tasks_of(about))))}
    keys = [(event.run_id, event.due_at) for event in about if event.run_id is not None and event.due_at is not None]
    by_id = runs.get_many(session, keys)
    muted = _muted(session, now=now)
    told = []
    for event in about:
        task = tasks.get(event.task_id)
        if task is None:
            continue  # it was removed for good
        run = by_id.get(event.run_id) if event.run_id is not None else None
        told.append(
            Happening(
                event,
                task.name,
                tuple(str(tag) for tag in task.tags) if isinstance(task.tags, list) else (),
                _zone_in(task.schedule),
                event.task_id in muted,
                run,
                _failures_before(session, run) if run is not None and run.state in FINAL_STATES else 0,
            )
        )
    return told


def last_lines(session: Session, run: Run) -> list[str]:
    """How its output ends."""
    return [line.message for line in logs.last_lines(session, run.id, limit=LAST_LINES)]


def _is_of_interest(event: Event) -> bool:
    kind, _, word = event.type.partition(".")
    if kind == "run":
        return word in {*FAILURES, RunState.COMPLETED, RunState.RUNNING}
    return event.type in ("due_time.missed", "due_time.unknown")


def _zone_in(schedule: Any) -> str | None:
    """Whatever is stored there."""
    zone = schedule.get("timezone") if isinstance(schedule, dict) else None
    return zone if isinstance(zone, str) else None


def _tasks_of(found: Sequence[Event]) -> list[UUID]:
    return sorted({event.task_id for event in found})


def _failures_before(session: Session, run: Run) -> int:
    """Counted back from the run to the last one that completed; no further than it is looked back."""
    earlier = (
        select(Run.state)
        .where(Run.task_id == run.task_id, Run.ended_at.is_not(None), Run.due_at <= run.due_at, Run.id != run.id)
        .where(Run.trigger != Trigger.TEST)
        .order_by(Run.due_at.desc(), Run.id.desc())
    )
    states: Sequence[str] = ()
    for limit in (1, 20, LOOKED_BACK):  # nearly always the first tells
        states = session.scalars(earlier.limit(limit)).all()
        if RunState.COMPLETED in states or len(states) < limit:
            break
    since = takewhile(lambda state: state != RunState.COMPLETED, states)
    return sum(state in FAILURES for state in since)


def _muted(session: Session, *, now: datetime) -> set[UUID]:
    """The tasks whose failures somebody does not want to hear of."""
    prefix = f"{ProblemKind.FAILING}:"
    quiet = or_(ProblemMark.mark == Mark.MUTED, ProblemMark.until > now)
    keys = session.scalars(select(ProblemMark.key).where(func.starts_with(ProblemMark.key, prefix), quiet))
    return {UUID(key.removeprefix(prefix)) for key in keys}

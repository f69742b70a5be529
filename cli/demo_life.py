"""The present of the demonstration: due times come, runs begin, print and end, as the clock goes on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from cli.demo_past import WORKERS, Cast, breathe
from cli.demo_tasks import LINES, Story
from db import due_times, logs, runs, starts
from db.logs import Line
from db.runs import Ending, RunKey
from db.specs import DEFAULT_WORK_POOL
from db.states import Level, Outcome, RunState, Stream, Trigger
from db.tables import DueTime, Task

AT_ONCE = 50
BREATH = timedelta(seconds=5)


@dataclass(slots=True)
class _Going:
    """A run that goes on, and what is left of it."""

    key: RunKey
    story: Story
    worker_id: UUID
    ends_at: datetime
    lines: list[tuple[datetime, str]]


@dataclass
class Life:
    """What happens, a step at a time."""

    cast: Cast
    chance: random.Random
    going: list[_Going] = field(default_factory=list)
    breathed_at: datetime | None = None

    def step(self, session: Session, *, now: datetime) -> None:
        """Everything up to now."""
        if self.breathed_at is None or now - self.breathed_at >= BREATH:
            breathe(session, self.cast, now=now)
            due_times.extend(session, now=now)
            self.breathed_at = now
        for row, task in self._due(session, now=now):
            self.going.append(self._begin(session, row, task, now=now))
        for each in self.going:
            self._print(session, each, now=now)
        for each in [each for each in self.going if each.ends_at <= now]:
            self._end(session, each)
            self.going.remove(each)

    def _due(self, session: Session, *, now: datetime) -> Sequence[tuple[DueTime, Task]]:
        query = (
            select(DueTime, Task)
            .join(Task, Task.id == DueTime.task_id)
            .where(DueTime.outcome == Outcome.PENDING, DueTime.due_at <= now, ~Task.paused, Task.deleted_at.is_(None))
            .where(Task.spec["work_pool"].astext == DEFAULT_WORK_POOL)
            .limit(AT_ONCE)
        )
        return session.execute(query).tuples().all()

    def _begin(self, session: Session, row: DueTime, task: Task, *, now: datetime) -> _Going:
        story = self.cast.stories.get(task.id) or next(iter(self.cast.stories.values()))
        name = self.chance.choice(WORKERS)
        worker_id, key = self.cast.workers[name], RunKey(uuid4(), row.due_at)
        start = starts.Start(key, task.id, task.name, task.version, Trigger.SCHEDULE.value, row.due_at)
        starts.start_many(session, [start], worker_id=worker_id, worker=name, started_at=now)
        took = timedelta(seconds=story.usual_seconds * self.chance.lognormvariate(0, 0.25))
        step = took / (len(LINES) + 1)
        return _Going(key, story, worker_id, now + took, [(now + step * n, text) for n, text in enumerate(LINES)])

    def _print(self, session: Session, each: _Going, *, now: datetime) -> None:
        said = [(at, text) for at, text in each.lines if at <= now]
        each.lines = [(at, text) for at, text in each.lines if at > now]
        if said:
            lines = [Line(each.key.id, at, Level.INFO, Stream.STDOUT, text) for at, text in said]
            logs.append(session, lines)

    def _end(self, session: Session, each: _Going) -> None:
        failed = each.story.fails_now or self.chance.random() < each.story.failing
        state = RunState.FAILED if failed else RunState.COMPLETED
        if failed:
            error = Line(each.key.id, each.ends_at, Level.ERROR, Stream.STDERR, each.story.error)
            logs.append(session, [error])
        ending = Ending(state, each.ends_at, exit_code=int(failed), error=each.story.error if failed else None)
        runs.finish(session, each.key, ending, worker_id=each.worker_id)

"""The past of the demonstration, made up: due times, runs and their output of the last weeks."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from cli.demo_tasks import CLOSED, HOLIDAYS, LINES, STORIES, Story
from db import calendars, due_times, heartbeats, logs, runs, sync, tasks, workers
from db.logs import Line
from db.runs import RunKey
from db.schedules import open_due_times
from db.specs import AnyTask, parse_task
from db.states import Level, Outcome, Reason, RunState, Stream, Trigger
from db.tables import DueTime, Run

AGE = timedelta(days=30)
MOST = 1500
"""Due times of a task: of the frequent ones only the last days are made up."""
WORKERS = ("worker-1", "worker-2", "worker-3")
FAILING_FOR = timedelta(hours=2)
LOGS_OF = 20
"""The last runs of each task that have an output."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who acts: the tasks by their id, and the workers."""

    stories: dict[UUID, Story]
    workers: dict[str, UUID]


def make_up(session: Session, *, now: datetime, chance: random.Random) -> Cast:
    """Writes all of it into an empty catalogue."""
    cast = Cast({}, {name: uuid4() for name in WORKERS})
    for name, worker_id in cast.workers.items():
        workers.register(
            session, worker_id=worker_id, name=name, work_pool="default", host=f"{name}.shop", pid=4711, slots=100,
            version="demo", now=now - timedelta(days=2),
        )  # fmt: skip
    calendars.add(session, HOLIDAYS, CLOSED, actor="anna", now=now - AGE)
    for story in STORIES:
        cast.stories[_task(session, story, cast, now=now, chance=chance)] = story
    _changes(session, cast, now=now)
    breathe(session, cast, now=now)
    return cast


def breathe(session: Session, cast: Cast, *, now: datetime) -> None:
    """Every part is there."""
    for part in (heartbeats.RECONCILER, heartbeats.PREFECT):
        heartbeats.beat(session, part, now=now)
    told = {"due_times": 181, "accounted": 181, "waiting": 0, "discrepancies": [], "discrepancy_count": 0}
    heartbeats.beat(session, heartbeats.AUDIT, now=now, details=told)
    for worker_id in cast.workers.values():
        workers.beat(session, worker_id, now=now)


def _task(session: Session, story: Story, cast: Cast, *, now: datetime, chance: random.Random) -> UUID:
    document = dict(story.document) | {"tags": list(story.document["tags"])}
    spec = calendars.followed_by(session, parse_task(document))
    task_id = tasks.create_task(session, spec, actor="anna", now=now - AGE)
    session.execute(delete(DueTime).where(DueTime.task_id == task_id))
    if story.refused:
        sync.record_error(session, task_id, story.refused)
    else:
        sync.record_synced(session, task_id, version=1, deployment_id=uuid4(), applied=None)
    if not spec.paused and not story.refused:
        _past(session, task_id, spec, story, cast, now=now, chance=chance)
    due_times.write_ahead(session, task_id, spec, version=1, after=now, now=now)
    return task_id


def _past(
    session: Session, task_id: UUID, spec: AnyTask, story: Story, cast: Cast, *, now: datetime, chance: random.Random
) -> None:
    upcoming = open_due_times(spec.schedule.value(), after=now - AGE)
    due = list(takewhile(lambda at: at < now - timedelta(seconds=story.usual_seconds * 3), upcoming))[-MOST:]
    rows = [_what_became(at, story, now=now, chance=chance) for at in due]
    if not rows:
        return
    told = {"task_id": task_id, "task_version": 1}
    session.execute(insert(DueTime), [told | row.due_time for row in rows])
    name = {"task_name": spec.name, "trigger": Trigger.SCHEDULE.value}
    ran: list[dict[str, Any]] = [told | name | row.run | _worker(cast, chance) for row in rows if row.run]
    session.execute(insert(Run), ran)
    last = ran[-1]
    runs.show_as_last(session, [(RunKey(last["id"], last["due_at"]), task_id, RunState(last["state"]))])
    logs.append(session, list(_output(ran[-LOGS_OF:])))


@dataclass(frozen=True, slots=True)
class _Row:
    due_time: dict[str, Any]
    run: dict[str, Any] | None = None


def _what_became(at: datetime, story: Story, *, now: datetime, chance: random.Random) -> _Row:
    luck = chance.random()
    plain = {"due_at": at, "run_id": None, "started_at": None, "reason": None}
    if luck < 0.004:
        missed = {"outcome": Outcome.MISSED, "reason": Reason.LATE, "decided_at": at + timedelta(minutes=3)}
        return _Row(plain | missed)
    if luck < 0.008:
        return _Row(plain | {"outcome": Outcome.SKIPPED, "reason": Reason.OVERLAP, "decided_at": at})
    run = _run(at, story, now=now, chance=chance)
    decided = {
        "outcome": Outcome.RAN,
        "run_id": run["id"],
        "started_at": run["started_at"],
        "decided_at": run["ended_at"],
    }
    return _Row(plain | decided, run)


def _run(at: datetime, story: Story, *, now: datetime, chance: random.Random) -> dict[str, Any]:
    late = timedelta(milliseconds=chance.randint(5, 30))
    if chance.random() < 0.006:
        late = timedelta(seconds=chance.uniform(1, 40))
    failed = chance.random() < story.failing or (story.fails_now and at > now - FAILING_FOR)
    took = timedelta(seconds=story.usual_seconds * chance.lognormvariate(0, 0.25))
    return {
        "id": uuid4(),
        "due_at": at,
        "state": (RunState.FAILED if failed else RunState.COMPLETED).value,
        "held_at": at - timedelta(seconds=8),
        "started_at": at + late,
        "ended_at": at + late + took,
        "exit_code": int(failed),
        "error": story.error if failed else None,
    }


def _worker(cast: Cast, chance: random.Random) -> dict[str, Any]:
    name = chance.choice(WORKERS)
    return {"worker": name, "worker_id": cast.workers[name]}


def _output(ran: Sequence[dict[str, Any]]) -> Iterator[Line]:
    for run in ran:
        step = (run["ended_at"] - run["started_at"]) / (len(LINES) + 1)
        for number, text in enumerate(LINES):
            yield Line(run["id"], run["started_at"] + step * number, Level.INFO, Stream.STDOUT, text)
        if run["error"]:
            yield Line(run["id"], run["ended_at"], Level.ERROR, Stream.STDERR, run["error"])


def _changes(session: Session, cast: Cast, *, now: datetime) -> None:
    """Somebody edited something, somebody threw something away."""
    by_name = {str(story.document["name"]): (task_id, story) for task_id, story in cast.stories.items()}
    report, story = by_name["customer-report"]
    edited = parse_task(dict(story.document) | {"tags": ["reports", "monday"], "retries": 3})
    tasks.replace_task(session, report, edited, seen_version=1, actor="ben", now=now - timedelta(hours=5))
    sync.record_synced(session, report, version=2, deployment_id=uuid4(), applied=None)
    old = dict(by_name["newsletter"][1].document) | {"name": "newsletter-2025", "tags": ["mail"]}
    gone = tasks.create_task(session, parse_task(old), actor="anna", now=now - AGE)
    tasks.delete_task(session, gone, actor="ben", now=now - timedelta(hours=3))

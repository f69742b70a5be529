"""What the rest of the system does while somebody looks at the dashboard: tasks appear, runs start, print and end."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import sqlalchemy
from sqlalchemy.orm import Session

from db import due_times, heartbeats, logs, run_requests, runs, starts, sync, task_views, tasks, workers
from db.engine import Catalogue
from db.logs import Line
from db.notifications import Topic, notify
from db.run_requests import OpenRequest
from db.runs import Ending, RunKey
from db.specs import as_document, parse_task
from db.states import OPEN_OUTCOMES, Level, Outcome, Reason, RunState, Stream, Trigger
from db.tables import (
    Account,
    ApiKey,
    AuditEntry,
    Calendar,
    Channel,
    DueTime,
    Heartbeat,
    ProblemMark,
    Run,
    RunLog,
    Secret,
    SignIn,
    Task,
    Webhook,
    Worker,
)
from db.task_views import TaskView

T = TypeVar("T")

HOSTILE = "<img src=x onerror=alert(1)> **b** :red[x] [l](javascript:1) https://evil.example $x$ :material/home:"
WORKER = uuid4()
TABLES = (
    *(Task, DueTime, Run, RunLog, AuditEntry, Worker, Heartbeat, ProblemMark),
    *(Account, ApiKey, SignIn, Channel, Webhook, Secret, Calendar),
)


def now() -> datetime:
    return datetime.now(UTC)


class World:
    """Writes to the catalogue as a door, a worker and the reconciler would."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def do(self, command: Callable[[Session], T]) -> T:
        with self._catalogue.transaction() as session:
            return command(session)

    def empty(self) -> None:
        """Nothing has ever been scheduled. Few rows in many partitions: deleting is quicker than truncating."""

        def delete(session: Session) -> None:
            for table in TABLES:
                session.execute(sqlalchemy.delete(table))
            notify(session, [Topic.TASKS, Topic.RUNS, Topic.WORKERS, Topic.ACCESS, Topic.MESSAGES])

        self.do(delete)

    def task(self, name: str, *, deployed: bool = True, **changes: Any) -> UUID:
        document = {
            "name": name,
            "kind": "shell",
            "action": {"command": "echo hello"},
            "schedule": {"kind": "cron", "cron": "0 2 * * *", "timezone": "Europe/Berlin"},
        }
        task_id = self.do(lambda s: tasks.create_task(s, parse_task(document | changes), actor="anna", now=now()))
        if deployed:
            self.deploy(task_id)
        return task_id

    def deploy(self, task_id: UUID) -> None:
        """Prefect has the task as it is."""
        version = self.see(task_id).version
        self.do(lambda s: sync.record_synced(s, task_id, version=version, deployment_id=uuid4(), applied=None))

    def start(self, task_id: UUID, *, due_at: datetime | None = None, late: timedelta = timedelta(0)) -> RunKey:
        """A worker takes a run of the task."""
        key = RunKey(uuid4(), due_at or now())
        task = self.see(task_id)
        self.do(
            lambda s: starts.start_many(
                s,
                [starts.Start(key, task_id, task.spec.name, task.version, Trigger.SCHEDULE.value, key.due_at)],
                worker_id=WORKER,
                worker="worker-1",
                started_at=key.due_at + late,
            )
        )
        return key

    def past(self, task_id: UUID, endings: Iterable[tuple[RunKey, Ending]], *, late: timedelta, **more: Any) -> None:
        """Runs that came and went, written at once; `more` are columns of Run."""
        task = self.see(task_id)

        def write(session: Session) -> None:
            for key, ending in endings:
                values = {
                    "task_id": task_id,
                    "task_name": task.spec.name,
                    "task_version": task.version,
                    "trigger": Trigger.SCHEDULE.value,
                    "state": ending.state.value,
                    "started_at": key.due_at + late,
                    "ended_at": ending.ended_at,
                    "exit_code": ending.exit_code,
                    "worker_id": WORKER,
                    "worker": "worker-1",
                }
                runs.insert_run(session, key, **values | more)

        self.do(write)

    def was_due(
        self,
        task_id: UUID,
        due_at: datetime,
        outcome: Outcome,
        *,
        reason: Reason | None = None,
        decided: timedelta = timedelta(seconds=1),
        run: RunKey | None = None,
        late: timedelta = timedelta(0),
    ) -> None:
        """A due time came, and this became of it."""
        row: dict[str, Any] = {"task_id": task_id, "due_at": due_at, "task_version": 1, "outcome": outcome}
        row |= {"reason": reason, "decided_at": None if outcome in OPEN_OUTCOMES else due_at + decided}
        row |= {"run_id": run.id, "started_at": due_at + late} if run else {}
        self.do(lambda s: s.execute(sqlalchemy.insert(DueTime).values(row)))

    def settle(self, task_id: UUID, due_at: datetime, outcome: Outcome, reason: Reason) -> None:
        """The reconciler decides a due time that nobody claimed."""
        self.do(lambda s: due_times.settle(s, task_id, due_at, outcome=outcome, reason=reason, now=now()))

    def worker(
        self, name: str, *, since: datetime, heard_at: datetime | None = None, stopped_at: datetime | None = None
    ) -> UUID:
        """A worker that was there, or is still."""
        worker_id = uuid4()

        def write(session: Session) -> None:
            workers.register(session, worker_id=worker_id, name=name, work_pool="default", host="h", pid=1, now=since)
            session.flush()
            workers.beat(session, worker_id, now=heard_at or stopped_at or now())
            if stopped_at is not None:
                workers.stop(session, worker_id, now=stopped_at)

        self.do(write)
        return worker_id

    def audit(
        self, *, ago: timedelta = timedelta(0), discrepancies: Sequence[dict[str, str]] = (), **told: Any
    ) -> None:
        """The reconciler audited the ledger."""
        details: dict[str, Any] = {"due_times": 1234, "accounted": 1234 - len(discrepancies), "waiting": 0}
        details |= {"discrepancies": list(discrepancies), "discrepancy_count": len(discrepancies)} | told
        self.do(lambda s: heartbeats.beat(s, heartbeats.AUDIT, now=now() - ago, details=details))

    def heartbeats(self) -> None:
        """The parts that are one of a kind are there."""
        for part in (heartbeats.RECONCILER, heartbeats.PREFECT):
            self.do(lambda s, part=part: heartbeats.beat(s, part, now=now()))  # type: ignore[misc]

    def beat(self, worker_id: UUID) -> None:
        """The worker is there, still."""
        self.do(lambda s: workers.beat(s, worker_id, now=now()))

    def drain(self, worker_id: UUID, *, on: bool = True) -> None:
        self.do(lambda s: workers.drain(s, worker_id, on=on, actor="anna", now=now()))

    def say(self, run: RunKey, *messages: str, level: Level = Level.INFO, stream: Stream = Stream.STDOUT) -> None:
        """The run prints lines."""
        lines = [Line(run.id, now(), level, stream, message) for message in messages]
        self.do(lambda s: logs.append(s, lines))

    def end(
        self, run: RunKey, state: RunState = RunState.COMPLETED, *, at: datetime | None = None, error: str | None = None
    ) -> None:
        """The worker reports the end."""
        code = {RunState.COMPLETED: 0, RunState.FAILED: 1}.get(state)
        ending = Ending(state, at or now(), exit_code=code, error=error)
        self.do(lambda s: runs.finish(s, run, ending, worker_id=WORKER))

    def see(self, task_id: UUID) -> TaskView:
        return self.do(lambda s: task_views.get_task(s, task_id, now=now()))

    def asked_for(self, task_id: UUID) -> list[OpenRequest]:
        """The runs that somebody asked for and that are not made yet."""
        return [each for each in self.do(lambda s: run_requests.open_requests(s, now=now())) if each.task_id == task_id]

    def trials(self) -> list[OpenRequest]:
        """The tests that were asked for and whose runs are not made yet."""
        asked = self.do(lambda s: run_requests.open_requests(s, now=now()))
        return [each for each in asked if each.trigger == Trigger.TEST]

    def fulfil(self, task_id: UUID) -> RunKey:
        """The reconciler makes the run that was asked for."""
        request, run_id = self.asked_for(task_id)[0], uuid4()
        self.do(lambda s: run_requests.fulfil(s, request, run_id))
        return RunKey(run_id, request.due_at)

    def refuse(self, task_id: UUID, why: str) -> None:
        """Prefect does not take the task."""
        self.do(lambda s: sync.record_error(s, task_id, why))

    def pause(self, task_id: UUID, *, reason: str = "", until: datetime | None = None) -> None:
        self.do(lambda s: tasks.pause_task(s, task_id, reason=reason, until=until, actor="anna", now=now()))

    def edit(self, task_id: UUID, **changes: Any) -> None:
        """Somebody else opens the task, changes it and saves."""
        seen = self.see(task_id)
        spec = parse_task(as_document(seen.spec) | changes)
        self.do(lambda s: tasks.replace_task(s, task_id, spec, seen_version=seen.version, actor="ben", now=now()))

    def is_draining(self, worker_id: UUID) -> bool:
        return self.do(lambda s: workers.is_draining(s, worker_id))

    def delete(self, task_id: UUID) -> None:
        self.do(lambda s: tasks.delete_task(s, task_id, actor="anna", now=now()))

    def run(self, run_id: UUID) -> Run:
        return self.do(lambda s: runs.get_run(s, run_id))

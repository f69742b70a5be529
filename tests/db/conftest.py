"""The catalogue on a real PostgreSQL: a session that is rolled back after its test, and the people who use it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import runs, sync, task_views, tasks, workers
from db.claims import Answer, Claimant, Claimed, Offer, claim
from db.engine import Catalogue
from db.partitions import first_of_month
from db.runs import RunKey
from db.specs import AnyTask, FieldError, InvalidTask, parse_task
from db.states import Outcome, RunState, Trigger
from db.tables import DueTime, Run, TaskStatus
from db.task_views import TaskView
from tests.conftest import FreshDatabase

NOW = first_of_month(datetime.now(UTC)) + timedelta(days=14, hours=12)
"""A moment at noon in a month whose partitions exist, so that what follows from it is the same every day."""


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@pytest.fixture(scope="session")
def shared_catalogue(fresh_database: FreshDatabase, migrated: str) -> Iterator[Catalogue]:
    """One for all tests of this process that leave nothing behind."""
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        yield catalogue
        catalogue.close()


@pytest.fixture
def session(shared_catalogue: Catalogue) -> Iterator[Session]:
    """An empty catalogue in one transaction, which is rolled back after the test."""
    with shared_catalogue.engine.connect() as connection:
        transaction = connection.begin()
        with Session(connection, expire_on_commit=False) as session:
            yield session
        transaction.rollback()


def document(**changes: Any) -> dict[str, Any]:
    """A task as a client sends it: every minute, unless the changes say otherwise."""
    return {
        "name": "backup",
        "kind": "shell",
        "action": {"command": "true"},
        "schedule": {"kind": "cron", "cron": "* * * * *", "timezone": "UTC"},
    } | changes


def a_task(**changes: Any) -> AnyTask:
    return parse_task(document(**changes))


def refusal(sent: Any) -> list[FieldError]:
    """What is said against a task; nothing where it is accepted."""
    try:
        parse_task(sent)
    except InvalidTask as refused:
        return refused.errors
    return []


def once(at: datetime, **more: Any) -> dict[str, Any]:
    return {"kind": "once", "at": at.isoformat(), **more}


MANUAL = {"kind": "manual"}
DAILY = {"kind": "cron", "cron": "0 13 * * *", "timezone": "UTC"}


def create(session: Session, *, now: datetime = NOW, **changes: Any) -> UUID:
    return tasks.create_task(session, a_task(**changes), actor="anna", now=now)


def deployed(session: Session, *, now: datetime = NOW, **changes: Any) -> UUID:
    """A new task that has a deployment."""
    task_id = create(session, now=now, **changes)
    sync.record_synced(session, task_id, version=1, deployment_id=uuid4(), applied={"schedule_id": "s"})
    return task_id


def edit(session: Session, task_id: UUID, *, now: datetime = NOW, **changes: Any) -> None:
    """A person opens the task, changes something and saves."""
    seen = view(session, task_id)
    spec = parse_task({**seen.spec.model_dump(mode="json", by_alias=True), **changes})
    tasks.replace_task(session, task_id, spec, seen_version=seen.version, actor="ben", now=now)


def view(session: Session, task_id: UUID, *, now: datetime = NOW) -> TaskView:
    return task_views.get_task(session, task_id, now=now)


def status(session: Session, task_id: UUID) -> TaskStatus:
    return session.get_one(TaskStatus, task_id, populate_existing=True)


def ledger(session: Session, task_id: UUID) -> list[DueTime]:
    """Every due time of the task, oldest first."""
    query = select(DueTime).where(DueTime.task_id == task_id).order_by(DueTime.due_at)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def outcomes(session: Session, task_id: UUID) -> list[tuple[str, str | None]]:
    return [(row.outcome, row.reason) for row in ledger(session, task_id)]


def pending(session: Session, task_id: UUID) -> list[datetime]:
    return [row.due_at for row in ledger(session, task_id) if row.outcome == Outcome.PENDING]


def an_offer(session: Session, task_id: UUID, due_at: datetime, trigger: Trigger = Trigger.SCHEDULE) -> Offer:
    """A flow run that Prefect holds for the task."""
    deployment_id = status(session, task_id).deployment_id
    assert deployment_id is not None
    return Offer(uuid4(), deployment_id, due_at, trigger)


def a_worker(session: Session, name: str = "w1", *, now: datetime = NOW) -> Claimant:
    worker = Claimant(uuid4(), name)
    workers.register(session, worker_id=worker.id, name=name, work_pool="default", host="here", pid=1, now=now)
    session.flush()
    return worker


def claim_at(session: Session, task_id: UUID, due_at: datetime, *, now: datetime | None = None) -> Answer:
    """A worker claims the due time, at that instant unless it comes later."""
    return claim(session, an_offer(session, task_id, due_at), Claimant(uuid4(), "w1"), now=now or due_at)


def a_claimed_run(session: Session, **changes: Any) -> tuple[RunKey, UUID]:
    """A run of a new task that a worker executes, and the worker's id."""
    task_id = deployed(session, **changes)
    worker = a_worker(session)
    due_at = pending(session, task_id)[0]
    answer = claim(session, an_offer(session, task_id, due_at), worker, now=due_at)
    assert isinstance(answer, Claimed)
    return answer.key, worker.id


def a_run(session: Session, task_id: UUID, due_at: datetime, **values: Any) -> RunKey:
    """A run in the catalogue, without a worker."""
    key = RunKey(values.pop("id", None) or uuid4(), due_at)
    defaults = {"task_name": "backup", "task_version": 1, "trigger": Trigger.PREFECT, "state": RunState.SCHEDULED}
    assert runs.insert_run(session, key, task_id=task_id, **(defaults | values))
    return key


def run_of(session: Session, key: RunKey) -> Run:
    return runs.get_run(session, key.id)

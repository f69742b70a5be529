"""When a zone changes its clock, the schedule, the preview, the ledger and the runs agree. `zones.py` says on what.

The catalogue is real, its clock is not: every test lives through the change, whenever that was.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from uuid import UUID, uuid4

import pytest
from prefect.server.schemas.schedules import CronSchedule
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from db import claims, due_times, runs, schedules, sync, tasks
from db.claims import Claimant, Claimed, Offer, StandDown
from db.engine import Catalogue
from db.partitions import ensure_partitions
from db.runs import Ending
from db.schedules import Cron
from db.specs import parse_task
from db.states import Outcome, Reason, RunState, Trigger
from db.tables import DueTime, Run
from tests.api.conftest import opened
from tests.conftest import FreshDatabase
from tests.fundamentals.zones import CHANGES, Change, Row

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
WORKER = Claimant(uuid4(), "worker")


@dataclass(frozen=True)
class Case:
    """A task whose zone changes its clock."""

    change: Change
    row: Row

    def __str__(self) -> str:
        return f"{self.change.zone} {self.change.month} {self.row.cron}"

    @cached_property
    def due(self) -> list[datetime]:
        return self.change.instants(self.row.due)

    @cached_property
    def never(self) -> list[datetime]:
        return self.change.instants(self.row.never)

    @property
    def before(self) -> datetime:
        """When the task is created."""
        return self.due[0] - SECOND

    @property
    def schedule(self) -> Cron:
        return Cron(self.row.cron, self.change.zone)

    def document(self) -> dict[str, object]:
        return {"kind": "cron", "cron": self.row.cron, "timezone": self.change.zone}


CASES = [Case(change, row) for change in CHANGES for row in change.rows]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(scope="module")
def catalogue_of_years(fresh_database: FreshDatabase, migrated: str) -> Iterator[Catalogue]:
    """A catalogue with the months of every change."""
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        with catalogue.transaction() as session:
            for month in sorted({f"{at:%Y-%m}": at for case in CASES for at in case.due}.values()):
                ensure_partitions(session, now=month)
        yield catalogue
        catalogue.close()


@pytest.fixture
def session(catalogue_of_years: Catalogue) -> Iterator[Session]:
    """An empty catalogue in one transaction, which is rolled back after the test."""
    with catalogue_of_years.engine.connect() as connection:
        transaction = connection.begin()
        with Session(connection, expire_on_commit=False) as session:
            yield session
        transaction.rollback()


@pytest.fixture(scope="module")
def api(catalogue_of_years: Catalogue) -> Iterator[TestClient]:
    with opened(catalogue_of_years) as client:
        yield client


@each_case
def test_a_row_of_the_table_begins_before_the_change_and_goes_forward(case: Case) -> None:
    assert case.due == sorted(set(case.due))
    assert not set(case.due) & set(case.never)
    assert all(case.due[0] < at < case.due[-1] for at in case.never)


@each_case
def test_the_schedule_is_due_at_exactly_these_instants(case: Case) -> None:
    found = list(schedules.due_times(case.schedule, after=case.before, ends_at=case.due[-1]))
    assert found == case.due
    assert all(schedules.is_due_at(case.schedule, at) for at in case.due)
    assert not any(schedules.is_due_at(case.schedule, at) for at in case.never)


@each_case
def test_from_whatever_moment_one_asks_the_same_instants_follow(case: Case) -> None:
    for moment in (at + SECOND * seconds for at in (*case.due, *case.never) for seconds in (-1, 0, 1, 59)):
        found = list(schedules.due_times(case.schedule, after=moment, ends_at=case.due[-1]))
        assert found == [at for at in case.due if at > moment], f"after {moment}"


@each_case
def test_the_preview_shows_exactly_these_instants(api: TestClient, case: Case) -> None:
    asked = {"schedule": case.document(), "from": case.due[0].isoformat(), "count": len(case.due)}
    answer = api.post("/schedules/preview", json=asked)
    assert answer.status_code == 200, answer.text
    assert [datetime.fromisoformat(at) for at in answer.json()["due_times"]] == case.due


@each_case
@pytest.mark.parametrize("reconciler", ["works", "is away"])
def test_the_ledger_has_exactly_these_rows_and_each_is_run_by_one_run(
    session: Session, case: Case, reconciler: str
) -> None:
    task = ATask(session, case)
    wrong = {*case.never, *made_by_prefect(case)} - {*case.due}
    expected_runs: list[UUID] = []
    for at in sorted({*case.due, *wrong}):
        if reconciler == "works":
            task.wait_until(at)
        if at in wrong:
            assert task.claim(at) == StandDown(Reason.NOT_DUE)
        else:
            expected_runs.append(task.run(at))
            assert task.claim(at) == StandDown(Reason.NOT_DUE), "a second run of the same due time"
    task.wait_until(case.due[-1] + MINUTE)
    assert task.ledger() == [(at, Outcome.RAN, run_id) for at, run_id in zip(case.due, expected_runs, strict=True)]
    assert task.runs() == set(expected_runs)


@dataclass
class ATask:
    """A task of the case, created before the change and deployed."""

    session: Session
    case: Case

    def __post_init__(self) -> None:
        self.deployment_id = uuid4()
        document = {
            "name": str(self.case),
            "kind": "shell",
            "action": {"command": "true"},
            "schedule": self.case.document(),
        }
        self.now = self.case.before
        self.id = tasks.create_task(self.session, parse_task(document), actor="Ada", now=self.now)
        sync.record_synced(self.session, self.id, version=1, deployment_id=self.deployment_id, applied=None)

    def wait_until(self, at: datetime) -> None:
        """Time passes, in which the reconciler writes ahead: on the way, and just before the instant."""
        due_times.extend(self.session, now=self.now + (at - self.now) / 2)
        due_times.extend(self.session, now=at - SECOND)
        self.now = at

    def claim(self, at: datetime) -> claims.Answer:
        """A worker asks for a run that Prefect made for the instant, at the instant."""
        offer = Offer(uuid4(), self.deployment_id, at, Trigger.SCHEDULE)
        return claims.claim(self.session, offer, WORKER, now=at)

    def run(self, at: datetime) -> UUID:
        """The due time is claimed, and run to its end at once."""
        answer = self.claim(at)
        assert isinstance(answer, Claimed), f"{at} is due: {answer}"
        assert runs.finish(self.session, answer.key, Ending(RunState.COMPLETED, at, exit_code=0), worker_id=WORKER.id)
        return answer.key.id

    def ledger(self) -> list[tuple[datetime, str, UUID | None]]:
        """What was due up to the end of the row."""
        rows = select(DueTime).where(DueTime.task_id == self.id, DueTime.due_at <= self.case.due[-1])
        found = self.session.scalars(rows.order_by(DueTime.due_at).execution_options(populate_existing=True))
        return [(row.due_at, row.outcome, row.run_id) for row in found]

    def runs(self) -> set[UUID]:
        return set(self.session.scalars(select(Run.id).where(Run.task_id == self.id)))


def made_by_prefect(case: Case) -> set[datetime]:
    """The instants that Prefect's own cron makes runs for, right or wrong: that depends on its Python."""
    expression = schedules.ALIASES.get(case.row.cron, case.row.cron)
    own = CronSchedule(cron=expression, timezone=case.change.zone)
    made = asyncio.run(own.get_dates(start=case.due[0], end=case.due[-1]))
    return {datetime.fromtimestamp(at.timestamp(), UTC) for at in made}

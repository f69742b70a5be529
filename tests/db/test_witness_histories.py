"""Whatever people and workers do with a task, in whatever order: the witness finds nothing that does not agree."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from db import claims, due_times, run_requests, tasks
from db.claims import Claimant, Claimed
from db.engine import Catalogue
from db.runs import RunKey
from db.states import Missed, Outcome
from db.tables import Task
from db.witness import audit
from tests.db.conftest import MANUAL, NOW, a_worker, an_offer, deployed, edit, ledger, minutes, once, seconds
from tests.db.test_witness import HOUR, end, lose, make_rerun, take_rerun


@dataclass
class Life:
    """A task, the present, and the runs that go on."""

    session: Session
    task_id: UUID
    now: datetime = NOW
    going_on: list[tuple[RunKey, Claimant]] = field(default_factory=list)

    @property
    def is_deleted(self) -> bool:
        return self.session.get_one(Task, self.task_id, populate_existing=True).deleted_at is not None

    def wait(self, half_minutes: int) -> None:
        self.now += seconds(30 * half_minutes)

    def change(self, **changes: Any) -> None:
        if "schedule" in changes and callable(changes["schedule"]):
            changes["schedule"] = changes["schedule"](self.now)
        if not self.is_deleted:
            edit(self.session, self.task_id, now=self.now, **changes)

    def pause(self, half_minutes: int | None) -> None:
        if not self.is_deleted:
            until = None if half_minutes is None else self.now + seconds(30 * half_minutes)
            tasks.pause_task(self.session, self.task_id, until=until, actor="anna", now=self.now)

    def resume(self, missed: Missed) -> None:
        if not self.is_deleted:
            tasks.resume_task(self.session, self.task_id, missed=missed, actor="anna", now=self.now)

    def delete_or_restore(self) -> None:
        command = tasks.restore_task if self.is_deleted else tasks.delete_task
        command(self.session, self.task_id, actor="anna", now=self.now)

    def plan(self) -> None:
        due_times.extend(self.session, now=self.now)

    def claim(self) -> None:
        """A worker is offered everything that has come to be due."""
        worker = a_worker(self.session, now=self.now)
        for row in ledger(self.session, self.task_id):
            if row.outcome == Outcome.PENDING and row.due_at <= self.now:
                offer = an_offer(self.session, self.task_id, row.due_at)
                answer = claims.claim(self.session, offer, worker, now=self.now)
                if isinstance(answer, Claimed):
                    self.going_on.append((answer.key, worker))

    def finish(self) -> None:
        for key, worker in self.going_on:
            end(self.session, key, worker, at=self.now)
        self.going_on.clear()

    def die(self) -> None:
        for key, worker in self.going_on:
            lose(self.session, key, worker, at=self.now)
        self.going_on.clear()

    def go_on(self) -> None:
        """The reconciler makes the runs that are wanted instead of lost ones, and a worker takes them."""
        while not self.going_on and run_requests.open_requests(self.session, now=self.now, limit=1):
            key = make_rerun(self.session, at=self.now)
            self.going_on.append((key, take_rerun(self.session, self.task_id, key, at=self.now)))

    def settle(self) -> None:
        """Everybody does what is to be done, until nothing is left."""
        self.wait(2)
        self.plan()
        for _ in range(100):
            self.finish()
            self.go_on()
            self.claim()
            if not self.going_on:
                return


OVERLAPS = st.sampled_from(["skip", "queue", "allow"])
MISFIRES = st.sampled_from(["latest", "all", "skip"])
SCHEDULES = st.one_of(
    st.sampled_from([{"kind": "cron", "cron": "* * * * *"}, {"kind": "cron", "cron": "*/3 * * * *"}, MANUAL]),
    st.integers(-4, 6).map(lambda half: lambda now: once(now + seconds(30 * half), run_if_past=True)),
)
STEPS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 8)),
    st.tuples(st.just("change"), st.builds(lambda s: {"schedule": s}, SCHEDULES)),
    st.tuples(st.just("change"), st.builds(lambda o, m: {"overlap": o, "misfire": m}, OVERLAPS, MISFIRES)),
    st.tuples(st.just("change"), st.sampled_from([{"paused": True}, {"paused": False}, {"on_crash": "rerun"}])),
    st.tuples(st.just("pause"), st.one_of(st.none(), st.integers(1, 6))),
    st.tuples(st.just("resume"), st.sampled_from(Missed)),
    st.tuples(st.sampled_from(["claim", "finish", "die", "plan", "delete_or_restore", "go_on"])),
)


@contextmanager
def empty(catalogue: Catalogue) -> Iterator[Session]:
    with catalogue.engine.connect() as connection:
        transaction = connection.begin()
        with Session(connection, expire_on_commit=False) as session:
            yield session
        transaction.rollback()


@settings(max_examples=100)
@given(st.lists(STEPS, min_size=3, max_size=25))
def test_whatever_was_done_everything_is_accounted_for(shared_catalogue: Catalogue, steps: list[Any]) -> None:
    with empty(shared_catalogue) as session:
        life = Life(session, deployed(session))
        for name, *arguments in steps:
            step = getattr(life, name)
            if name == "change":
                step(**arguments[0])
            else:
                step(*arguments)
        life.settle()
        session.flush()
        found = audit(session, from_at=NOW - HOUR, to_at=life.now, now=life.now + minutes(2))
        assert found.discrepancies == ()
        assert found.due_times == found.accounted

"""What needs somebody, and what people say of it."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from db import due_times, notification_queue, problems, sync, tasks, workers
from db.problems import Problem
from db.states import Mark, Outcome, ProblemKind, Reason, RunState
from db.tables import AuditEntry, DueTime, Worker
from tests.db.conftest import DAILY, MANUAL, NOW, a_run, a_worker, create, deployed, minutes, seconds

HOUR = timedelta(hours=1)


def ended(session: Session, task_id: UUID, ago: float, state: RunState = RunState.FAILED, **values: object) -> None:
    due = NOW - minutes(ago)
    a_run(session, task_id, due, state=state, started_at=due, ended_at=due + seconds(1), **values)


def found(session: Session) -> list[Problem]:
    return problems.open_problems(session, now=NOW)


def test_a_task_fails_since_its_first_failure_after_a_success(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    ended(session, task, 50)
    ended(session, task, 40, RunState.COMPLETED)
    ended(session, task, 30, RunState.TIMED_OUT)
    ended(session, task, 20, error="disk full\nat /srv")
    [problem] = found(session)
    assert (problem.kind, problem.task_id, problem.times, problem.cause) == (ProblemKind.FAILING, task, 2, "disk full")
    assert (problem.since, problem.last_at) == (NOW - minutes(30), NOW - minutes(20))
    ended(session, task, 10, RunState.COMPLETED)
    assert found(session) == []


def test_what_fails_from_the_beginning_fails_since_then(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    ended(session, task, 50, exit_code=3)
    [problem] = found(session)
    assert (problem.since, problem.times) == (NOW - minutes(50), 1)
    assert problem.cause == "It ended with exit code 3."


def test_a_refused_task_is_a_problem(session: Session) -> None:
    sync.record_error(session, create(session), "No pool named gpu.")
    a_worker(session)
    [problem] = found(session)
    assert (problem.kind, problem.cause) == (ProblemKind.NOT_DEPLOYED, "No pool named gpu.")


@pytest.mark.parametrize(
    ("outcome", "kind"), [(Outcome.MISSED, ProblemKind.MISSED), (Outcome.SKIPPED, None), (Outcome.CANCELLED, None)]
)
def test_missed_due_times_of_a_day_are_problems_and_skipped_ones_are_not(
    session: Session, outcome: Outcome, kind: ProblemKind | None
) -> None:
    task = create(session, schedule=MANUAL)
    for ago in (1, 2, 3 * 24 * 60):
        row = {"task_id": task, "due_at": NOW - minutes(ago), "task_version": 1, "outcome": outcome}
        session.execute(insert(DueTime).values(**row, reason=Reason.LATE, decided_at=NOW))
    assert [(each.kind, each.times) for each in found(session)] == ([(kind, 2)] if kind else [])


def test_a_due_time_that_nobody_takes_names_its_pool(session: Session) -> None:
    task = deployed(session, now=NOW - minutes(5), work_pool="gpu")
    a_worker(session)
    of_task, of_pool = sorted(found(session), key=lambda each: each.kind, reverse=True)
    assert (of_task.kind, of_task.task_id, of_task.times) == (ProblemKind.WAITING, task, 3)
    assert (of_pool.kind, of_pool.task_id, of_pool.task_name) == (ProblemKind.POOL, None, "gpu")
    assert of_task.cause == of_pool.cause
    assert of_pool.cause.startswith("Nothing takes runs of pool gpu: it has no worker.")
    session.execute(update(Worker).values(work_pool="gpu"))
    [late] = found(session)
    assert late.cause == "No worker has taken it in time from pool gpu."


def test_a_drained_pool_is_a_problem_at_once_since_it_was_drained(session: Session) -> None:
    deployed(session, schedule=DAILY)
    worker = a_worker(session, now=NOW - minutes(5))
    workers.beat(session, worker.id, now=NOW)
    assert found(session) == []
    workers.drain(session, worker.id, on=True, actor="anna", now=NOW - seconds(1))
    [problem] = found(session)
    assert (problem.kind, problem.since, problem.key) == (ProblemKind.POOL, NOW - seconds(1), "pool:default")
    assert problem.cause == "Nothing takes runs of pool default: its only worker is drained."
    problems.mark(session, [problem.key], Mark.ACKNOWLEDGED, actor="anna", now=NOW)
    assert found(session)[0].mark is not None


def test_a_queue_of_notifications_that_fills_is_a_problem_since_it_began(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_queue, "usage", lambda _session: 0.2)
    assert notification_queue.watch(session, now=NOW - minutes(3)) == 0
    assert notification_queue.watch(session, now=NOW - minutes(2)) == 0
    [problem] = found(session)
    assert (problem.kind, problem.since) == (ProblemKind.NOTIFICATIONS, NOW - minutes(3))
    assert problem.cause.startswith("PostgreSQL's queue of notifications is 20 % full.")
    monkeypatch.setattr(notification_queue, "usage", lambda _session: 0.0)
    assert notification_queue.watch(session, now=NOW) == 0
    assert found(session) == []
    assert notification_queue.filling_since(session) is None


def test_what_waits_for_its_turn_is_no_problem(session: Session) -> None:
    task = deployed(session, now=NOW - minutes(3))
    a_worker(session)
    for ago in (1, 2):
        due_times.put_in_line(session, task, NOW - minutes(ago))
    assert found(session) == []


def test_an_acknowledged_problem_comes_back_when_it_begins_anew(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    ended(session, task, 30)
    key = found(session)[0].key
    problems.mark(session, [key], Mark.ACKNOWLEDGED, actor="anna", now=NOW - minutes(25))
    ended(session, task, 20)
    [still] = found(session)
    assert still.mark is not None
    assert (still.mark.actor, still.mark.mark) == ("anna", Mark.ACKNOWLEDGED)
    ended(session, task, 10, RunState.COMPLETED)
    ended(session, task, 5)
    assert found(session)[0].mark is None


def test_a_snoozed_problem_comes_back_in_time_and_a_muted_one_when_it_is_reopened(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    ended(session, task, 30)
    key = found(session)[0].key
    problems.mark(session, [key], Mark.SNOOZED, until=NOW + HOUR, actor="anna", now=NOW)
    assert found(session)[0].mark is not None
    assert problems.open_problems(session, now=NOW + HOUR)[0].mark is None
    problems.mark(session, [key], Mark.MUTED, actor="anna", now=NOW)
    assert problems.open_problems(session, now=NOW + 100 * HOUR)[0].mark is not None
    problems.reopen(session, [key], actor="ben", now=NOW)
    assert found(session)[0].mark is None
    written = session.scalars(select(AuditEntry.change).where(AuditEntry.change.startswith("problem."))).all()
    assert set(written) == {"problem.snoozed", "problem.muted", "problem.reopened"}


def test_what_is_in_the_trash_is_nobodys_problem(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    ended(session, task, 30)
    tasks.delete_task(session, task, actor="anna", now=NOW)
    assert found(session) == []

"""The last hours summed up over all tasks."""

from functools import partial
from uuid import UUID, uuid4

from sqlalchemy import insert
from sqlalchemy.orm import Session

from db import overview, tasks
from db.overview import Count
from db.states import Outcome, Reason, RunState
from db.tables import DueTime
from db.why import LATE_FROM
from tests.db.conftest import DAILY, MANUAL, NOW, a_run, create, minutes, pending, seconds

SINCE = NOW - minutes(60)
SLICE = minutes(30)


def was_due(session: Session, task_id: UUID, ago: float, outcome: Outcome, *, late: float | None = None) -> UUID | None:
    due_at = NOW - minutes(ago)
    started = None if late is None else due_at + seconds(late)
    run_id = uuid4() if started else None
    reason = Reason.LATE if outcome in (Outcome.MISSED, Outcome.SKIPPED) else None
    decided = None if outcome in (Outcome.PENDING, Outcome.RUNNING) else due_at
    row = {"task_id": task_id, "due_at": due_at, "task_version": 1, "outcome": outcome, "reason": reason}
    session.execute(insert(DueTime).values(**row, run_id=run_id, started_at=started, decided_at=decided))
    return run_id


def test_due_times_are_counted_by_slice_outcome_and_lateness(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    was_due(session, task, 50, Outcome.RAN, late=0.2)
    was_due(session, task, 40, Outcome.RAN, late=LATE_FROM.total_seconds())
    was_due(session, task, 20, Outcome.RAN, late=0)
    was_due(session, task, 10, Outcome.MISSED)
    was_due(session, task, 70, Outcome.MISSED)
    found = overview.count_by_slice(session, since=SINCE, until=NOW, slice_=SLICE)
    assert set(found) == {
        Count(SINCE, Outcome.RAN, late=False, count=1),
        Count(SINCE, Outcome.RAN, late=True, count=1),
        Count(SINCE + SLICE, Outcome.RAN, late=False, count=1),
        Count(SINCE + SLICE, Outcome.MISSED, late=False, count=1),
    }


def test_failures_are_counted_by_the_slice_that_they_were_due_in(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    for ago, state in (
        (50, RunState.FAILED),
        (40, RunState.TIMED_OUT),
        (10, RunState.CRASHED),
        (5, RunState.COMPLETED),
    ):
        a_run(session, task, NOW - minutes(ago), state=state, ended_at=NOW)
    found = overview.failures_by_slice(session, since=SINCE, until=NOW, slice_=SLICE)
    assert sorted(found) == [(SINCE, 2), (SINCE + SLICE, 1)]


def test_what_comes_next_is_of_all_tasks_but_those_that_are_paused_or_deleted(session: Session) -> None:
    minutely, daily = create(session, name="a"), create(session, name="b", schedule=DAILY)
    tasks.pause_task(session, create(session, name="paused"), actor="anna", now=NOW)
    tasks.delete_task(session, create(session, name="deleted"), actor="anna", now=NOW)
    resumed = create(session, name="resumed")
    tasks.pause_task(session, resumed, until=NOW + minutes(5), actor="anna", now=NOW)
    found = overview.coming(session, after=NOW, limit=100)
    assert found[0].due_at == pending(session, minutely)[0]
    assert [each.due_at for each in found] == sorted(each.due_at for each in found)
    assert {each.task_name for each in found} == {"a", "b", "resumed"}
    assert {each.task_id for each in found} == {minutely, daily, resumed}
    assert min(each.due_at for each in found if each.task_id == resumed) == NOW + minutes(5)


def test_what_goes_on_is_listed_longest_first(session: Session) -> None:
    task = create(session, schedule=MANUAL)
    younger = a_run(session, task, NOW, state=RunState.RUNNING, started_at=NOW - minutes(1))
    older = a_run(session, task, NOW, state=RunState.RUNNING, started_at=NOW - minutes(9))
    a_run(session, task, NOW, state=RunState.SCHEDULED)
    a_run(session, task, NOW, state=RunState.COMPLETED, started_at=NOW, ended_at=NOW)
    assert [run.id for run in overview.going_on(session)] == [older.id, younger.id]
    assert overview.count_going_on(session) == 2


def test_what_is_usual_is_what_nearly_all_of_the_last_runs_took(session: Session) -> None:
    task, new = create(session, name="a", schedule=MANUAL), create(session, name="b", schedule=MANUAL)
    for number in range(1, 31):
        due = NOW - minutes(number)
        took = number if number <= 20 else 1000  # what was long ago does not count
        a_run(session, task, due, state=RunState.COMPLETED, started_at=due, ended_at=due + seconds(took))
    a_run(session, task, NOW, state=RunState.FAILED, started_at=NOW, ended_at=NOW + seconds(5000))
    assert overview.usual_seconds(session, [task, new]) == {task: 19}
    assert overview.usual_seconds(session, []) == {}


def test_due_times_of_an_outcome_come_page_by_page(session: Session) -> None:
    task, other = create(session, name="a", schedule=MANUAL), create(session, name="b", schedule=MANUAL)
    for ago in (1, 2, 3):
        was_due(session, task, ago, Outcome.MISSED)
    was_due(session, other, 2, Outcome.MISSED)
    was_due(session, other, 4, Outcome.RAN, late=1.5)
    was_due(session, other, 5, Outcome.RAN, late=0.5)
    that = partial(overview.due_times_that, session, since=NOW - minutes(60), until=NOW)
    first = that(outcome=Outcome.MISSED, limit=2)
    second = that(outcome=Outcome.MISSED, limit=2, cursor=first.next_cursor)
    keys = [(each.row.due_at, each.task_name) for each in (*first.items, *second.items)]
    assert len(set(keys)) == 4
    assert [due_at for due_at, _ in keys] == sorted((due_at for due_at, _ in keys), reverse=True)
    assert second.next_cursor is None
    late = that(outcome=None).items
    assert [each.row.due_at for each in late] == [NOW - minutes(4)]

"""What is tampered with in a real catalogue is found by the witness, which says what does not agree."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy.orm import Session

from db import due_times, tasks, workers
from db.runs import RunKey
from db.tables import DueTime, Revision, Run, RunRequest, Task
from db.witness import Discrepancy
from tests.db.conftest import DAILY, MANUAL, NOW, a_run, a_worker, create, deployed, edit, minutes, once, seconds
from tests.db.test_witness import (
    HOUR,
    assert_all_accounted_for,
    end,
    lose,
    make_rerun,
    run_at,
    start_at,
    take_rerun,
    the_only_one,
    verdict,
    z,
)

LATER = NOW + HOUR
DUE = NOW + minutes(1)


@dataclass(frozen=True)
class Ran:
    """A task, and the run that executed its one due time."""

    task_id: UUID
    key: RunKey


def a_task_that_ran(session: Session, **changes: Any) -> Ran:
    task_id = deployed(session, schedule=once(DUE), **changes)
    return Ran(task_id, run_at(session, task_id, DUE))


def tamper(session: Session, task_id: UUID, at: datetime, **values: Any) -> None:
    changed = session.execute(
        update(DueTime)
        .where(DueTime.task_id == task_id, DueTime.due_at == at)
        .values(**values)
        .returning(DueTime.due_at)
    )
    assert changed.all()


def test_a_row_that_vanished_is_found(session: Session) -> None:
    task_id = deployed(session, ends_at=z(NOW + minutes(3)))
    for minute in (1, 2, 3):
        at = NOW + minutes(minute)
        assert due_times.cancel_pending(session, task_id, at, now=at)
    session.execute(delete(DueTime).where(DueTime.due_at == NOW + minutes(2)))
    found = verdict(session, now=LATER)
    what = f"There is no row, but it was due by version 1 of {z(NOW)} (Every minute, UTC)."
    assert found.discrepancies == (Discrepancy(task_id, "backup", NOW + minutes(2), what),)
    assert (found.due_times, found.accounted, found.waiting) == (3, 2, 0)


def test_a_row_of_what_was_not_due_is_found(session: Session) -> None:
    it = a_task_that_ran(session)
    tamper(
        session,
        it.task_id,
        DUE,
        due_at=DUE + seconds(1),
        outcome="cancelled",
        reason="cancelled",
        run_id=None,
        started_at=None,
    )
    session.execute(delete(Run).where(Run.id == it.key.id))
    missing, extra = verdict(session, now=LATER).discrepancies
    assert missing.what.startswith("There is no row")
    assert extra.due_at == DUE + seconds(1)
    assert extra.what == (
        f"There is a row (cancelled, of version 1), but it was not due: version 1 of {z(NOW)} was in force "
        f"(Once, {DUE:%a %d %b %Y, %H:%M:%S} UTC)."
    )


def test_a_row_in_the_time_in_the_trash_is_found(session: Session) -> None:
    task_id = deployed(session)
    tasks.delete_task(session, task_id, actor="anna", now=NOW + seconds(30))
    session.execute(insert(DueTime).values(task_id=task_id, due_at=DUE, task_version=1, outcome="pending"))
    assert "the task was deleted" in the_only_one(session, now=LATER).what


def test_a_row_from_before_the_task_is_found(session: Session) -> None:
    task_id = create(session, schedule=DAILY)
    session.execute(insert(DueTime).values(task_id=task_id, due_at=NOW - HOUR, task_version=1, outcome="pending"))
    assert the_only_one(session, now=NOW + minutes(1)).what == (
        "There is a row (pending, of version 1), but there was no task yet."
    )


def test_a_version_that_was_slipped_in_is_found(session: Session) -> None:
    it = a_task_that_ran(session)
    session.execute(update(Revision).where(Revision.task_id == it.task_id).values(at=DUE + seconds(1)))
    # As if it had been created afterwards: caught up with, so it is due all the same.
    assert_all_accounted_for(session, 1, now=LATER)
    session.execute(update(Revision).where(Revision.task_id == it.task_id).values(change="restored"))
    assert the_only_one(session, now=LATER).what == "There is a row (ran, of version 1), but there was no task yet."


def a_worker_is_there(session: Session, *, now: datetime) -> None:
    """It has been for a while, and was heard of just now."""
    assert workers.beat(session, a_worker(session, now=NOW - minutes(5)).id, now=now)


def test_what_nobody_claimed_is_found_after_a_minute(session: Session) -> None:
    create(session, schedule=once(DUE))
    assert_all_accounted_for(session, 1, now=DUE + seconds(59))
    a_worker_is_there(session, now=DUE + seconds(75))
    what = the_only_one(session, now=DUE + seconds(75)).what
    assert what == "Still pending 75 s after it was due: nobody claimed it, and it waits for nothing."


def test_where_no_worker_is_there_what_is_due_waits_for_one(session: Session) -> None:
    create(session, schedule=once(DUE))
    assert_all_accounted_for(session, 1, now=DUE + seconds(75), waiting=1)
    a_worker_is_there(session, now=DUE)
    assert_all_accounted_for(session, 1, now=DUE + seconds(75), waiting=1)


def test_a_queue_in_which_nothing_goes_on_is_found(session: Session) -> None:
    a_worker_is_there(session, now=LATER)
    task_id = deployed(session, overlap="queue", ends_at=z(NOW + minutes(2)))
    found = verdict(session, now=LATER)
    assert [one.due_at for one in found.discrepancies] == [NOW + minutes(1)]
    assert (found.accounted, found.waiting) == (1, 1)
    assert task_id == found.discrepancies[0].task_id


Damage = Callable[[Session, Ran], str]


def _run_is_gone(session: Session, it: Ran) -> str:
    session.execute(delete(Run).where(Run.id == it.key.id))
    return f"Ran, but there is no run {it.key.id}."


def _run_is_open(session: Session, it: Ran) -> str:
    session.execute(update(Run).where(Run.id == it.key.id).values(state="running", ended_at=None))
    return f"Ran, but its run {it.key.id} is still running."


def _run_crashed(session: Session, it: Ran) -> str:
    session.execute(update(Run).where(Run.id == it.key.id).values(state="crashed"))
    return f"Ran, but its run {it.key.id} crashed since {z(DUE + seconds(5))}."


def _run_of_another_task(session: Session, it: Ran) -> str:
    other = deployed(session, name="other", schedule=MANUAL)
    session.execute(update(Run).where(Run.id == it.key.id).values(task_id=other, trigger="manual"))
    return f"Ran, but run {it.key.id} is of task {other}, due at {z(DUE)}."


def _run_of_another_due_time(session: Session, it: Ran) -> str:
    session.execute(update(Run).where(Run.id == it.key.id).values(due_at=DUE - seconds(1), trigger="manual"))
    return f"Ran, but run {it.key.id} is of task {it.task_id}, due at {z(DUE - seconds(1))}."


def _unknown_though_it_did_not_crash(session: Session, it: Ran) -> str:
    tamper(session, it.task_id, DUE, outcome="unknown", reason="worker_lost")
    return f"Unknown, but its run {it.key.id} did not crash: it is completed since {z(DUE + seconds(5))}."


def _running_though_it_ended(session: Session, it: Ran) -> str:
    tamper(session, it.task_id, DUE, outcome="running", decided_at=None)
    return f"Running, but its run {it.key.id} is completed since {z(DUE + seconds(5))}, and nothing goes on with it."


def _running_without_a_run(session: Session, it: Ran) -> str:
    tamper(session, it.task_id, DUE, outcome="running", decided_at=None)
    session.execute(delete(Run).where(Run.id == it.key.id))
    return f"Running, but there is no run {it.key.id}."


def _running_though_nothing_goes_on(session: Session, it: Ran) -> str:
    tamper(session, it.task_id, DUE, outcome="running", decided_at=None)
    session.execute(update(Run).where(Run.id == it.key.id).values(state="crashed"))
    return f"Running, but its run {it.key.id} is crashed since {z(DUE + seconds(5))}, and nothing goes on with it."


def _an_unknown_reason(session: Session, it: Ran) -> str:
    decide(session, it, "skipped", "not_due")
    return f"Skipped at {z(DUE)} because of not_due, which no rule gives."


def _not_paused(session: Session, it: Ran) -> str:
    decide(session, it, "skipped", "paused")
    return f"Skipped as paused at {z(DUE)}, but there was no pause then, nor when it was due."


def _nothing_overlapped(session: Session, it: Ran) -> str:
    decide(session, it, "skipped", "overlap")
    return f"Skipped for overlap at {z(DUE)}, but no run of the task was going on then."


def _nothing_newer(session: Session, it: Ran) -> str:
    decide(session, it, "skipped", "superseded", at=DUE + minutes(2))
    return f"Skipped as superseded at {z(DUE + minutes(2))}, but no newer due time had passed by then."


def _not_late(session: Session, it: Ran) -> str:
    decide(session, it, "missed", "late", at=DUE + seconds(90))
    return (
        f"Missed as late at {z(DUE + seconds(90))}, 90 s after it was due, but version 1 says misfire latest, "
        "version 1 says max_lateness_seconds None."
    )


def _not_deleted(session: Session, it: Ran) -> str:
    decide(session, it, "cancelled", "deleted")
    return f"Cancelled as deleted at {z(DUE)}, but the task was not deleted then."


def decide(session: Session, it: Ran, outcome: str, reason: str, *, at: datetime = DUE) -> None:
    """Puts a decision in place of the run."""
    session.execute(delete(Run).where(Run.id == it.key.id))
    tamper(session, it.task_id, DUE, outcome=outcome, reason=reason, run_id=None, started_at=None, decided_at=at)


@pytest.mark.parametrize(
    "damage",
    [
        _run_is_gone,
        _run_is_open,
        _run_crashed,
        _run_of_another_task,
        _run_of_another_due_time,
        _unknown_though_it_did_not_crash,
        _running_though_it_ended,
        _running_without_a_run,
        _running_though_nothing_goes_on,
        _an_unknown_reason,
        _not_paused,
        _nothing_overlapped,
        _nothing_newer,
        _not_late,
        _not_deleted,
    ],
)
def test_an_outcome_without_its_evidence_is_found(session: Session, damage: Damage) -> None:
    it = a_task_that_ran(session)
    assert_all_accounted_for(session, 1, now=LATER)
    what = damage(session, it)
    found = verdict(session, now=LATER)
    assert found.discrepancies == (Discrepancy(it.task_id, "backup", DUE, what),)
    assert (found.due_times, found.accounted) == (1, 0)


@pytest.mark.parametrize(
    ("changes", "reason", "outcome", "says"),
    [
        ({"overlap": "queue"}, "overlap", "skipped", "version 1 says overlap queue"),
        ({"misfire": "all"}, "superseded", "skipped", "version 1 says misfire all"),
        ({"max_lateness_seconds": 91}, "late", "missed", "version 1 says max_lateness_seconds 91"),
    ],
)
def test_a_decision_against_the_policy_is_found(
    session: Session, changes: dict[str, Any], reason: str, outcome: str, says: str
) -> None:
    it = a_task_that_ran(session, **changes)
    decide(session, it, outcome, reason, at=DUE + seconds(90))
    assert says in the_only_one(session, now=LATER).what


def test_the_policy_is_the_one_in_force_when_it_was_decided(session: Session) -> None:
    it = a_task_that_ran(session, max_lateness_seconds=30)
    edit(session, it.task_id, now=DUE + minutes(5), max_lateness_seconds=None)
    decide(session, it, "missed", "late", at=DUE + seconds(90))
    assert_all_accounted_for(session, 1, now=LATER)
    tamper(session, it.task_id, DUE, decided_at=DUE + minutes(6))
    assert "version 2 says max_lateness_seconds None" in the_only_one(session, now=LATER).what


def test_a_pause_that_was_over_by_then_is_no_reason(session: Session) -> None:
    task_id = deployed(session, schedule=once(DUE))
    tasks.pause_task(session, task_id, until=DUE - seconds(1), actor="anna", now=NOW + seconds(1))
    skipped = {"outcome": "skipped", "reason": "paused", "decided_at": DUE}
    tamper(session, task_id, DUE, **skipped)
    assert the_only_one(session, now=LATER).what.startswith("Skipped as paused")
    session.execute(update(Revision).where(Revision.version == 2).values(paused_until=DUE + seconds(1)))
    assert_all_accounted_for(session, 1, now=LATER)


def test_a_worker_that_is_gone_with_its_run_is_found(session: Session) -> None:
    task_id = deployed(session, schedule=once(DUE))
    key, worker = start_at(session, task_id, DUE)
    assert workers.beat(session, worker.id, now=LATER)
    assert_all_accounted_for(session, 1, now=LATER)
    workers.stop(session, worker.id, now=DUE + minutes(1))
    assert_all_accounted_for(session, 1, now=DUE + minutes(2))  # the reconciler has its minute
    what = the_only_one(session, now=LATER).what
    assert what == f"Running, but the worker of its run {key.id} is gone since {z(DUE + minutes(1))}."


def test_a_second_execution_is_found(session: Session) -> None:
    it = a_task_that_ran(session)
    other = a_run(session, it.task_id, DUE, trigger="catch_up", state="running", started_at=DUE + seconds(7))
    what = the_only_one(session, now=LATER).what
    assert what.startswith("Executed twice: ")
    for run_id, started_at in ((it.key.id, DUE), (other.id, DUE + seconds(7))):
        assert f"run {run_id} started at {z(started_at)}" in what


def test_an_execution_that_the_ledger_does_not_know_is_found(session: Session) -> None:
    task_id = deployed(session, schedule=once(DUE))
    due_times.cancel_pending(session, task_id, DUE, now=DUE)
    unknown = a_run(session, task_id, DUE, trigger="schedule", state="running", started_at=DUE)
    stray = a_run(session, task_id, DUE + seconds(9), trigger="schedule", state="running", started_at=DUE + seconds(9))
    found = [one.what for one in verdict(session, now=LATER).discrepancies]
    assert found == [
        f"The ledger has no run (cancelled), but run {unknown.id} started at {z(DUE)} (schedule) executed it.",
        f"The ledger has no row, but run {stray.id} started at {z(DUE + seconds(9))} (schedule) executed it.",
    ]


@pytest.fixture
def went_on(session: Session) -> tuple[UUID, RunKey, RunKey]:
    """A task whose run was lost, and went on in another one."""
    task_id = deployed(session, schedule=once(DUE), on_crash="rerun")
    first, worker = start_at(session, task_id, DUE)
    lose(session, first, worker, at=DUE + minutes(1))
    second = make_rerun(session, at=DUE + minutes(2))
    end(session, second, take_rerun(session, task_id, second, at=DUE + minutes(2)), at=DUE + minutes(3))
    assert_all_accounted_for(session, 1, now=LATER)
    return task_id, first, second


def test_a_rerun_of_a_run_that_did_not_crash_is_found(session: Session, went_on: tuple[UUID, RunKey, RunKey]) -> None:
    _, first, second = went_on
    session.execute(update(Run).where(Run.id == first.id).values(state="completed"))
    assert the_only_one(session, now=LATER).what == (
        f"Executed twice: run {second.id} started at {z(DUE + minutes(2))} goes on with run {first.id}, "
        "but that one did not crash: it is completed."
    )


def test_a_rerun_of_a_run_that_is_not_there_is_found(session: Session, went_on: tuple[UUID, RunKey, RunKey]) -> None:
    session.execute(delete(Run).where(Run.id == went_on[1].id))
    assert the_only_one(session, now=LATER).what.endswith("but there is no such run of this due time.")


def test_a_rerun_that_nothing_asked_for_is_found(session: Session, went_on: tuple[UUID, RunKey, RunKey]) -> None:
    session.execute(delete(RunRequest).where(RunRequest.rerun_of == went_on[1].id))
    assert the_only_one(session, now=LATER).what.endswith("but nothing asked for that.")


def test_a_rerun_of_a_task_that_is_to_run_at_most_once_is_found(
    session: Session, went_on: tuple[UUID, RunKey, RunKey]
) -> None:
    spec = {**session.get_one(Task, went_on[0]).spec, "on_crash": "fail"}
    session.execute(update(Revision).values(spec=spec))
    assert "on_crash is fail" in the_only_one(session, now=LATER).what


def test_two_runs_that_go_on_with_the_same_one_are_found(
    session: Session, went_on: tuple[UUID, RunKey, RunKey]
) -> None:
    task_id, first, _ = went_on
    a_run(session, task_id, DUE, trigger="rerun", state="running", rerun_of=first.id, started_at=DUE + minutes(4))
    assert "but so does run" in the_only_one(session, now=LATER).what


def test_a_refused_rerun_does_not_excuse_a_due_time_that_is_said_to_run(session: Session) -> None:
    task_id = deployed(session, schedule=once(DUE), on_crash="rerun")
    lose(session, *start_at(session, task_id, DUE), at=DUE + minutes(1))
    assert_all_accounted_for(session, 1, now=LATER)
    session.execute(update(RunRequest).values(refused="no"))
    assert "nothing goes on with it" in the_only_one(session, now=LATER).what

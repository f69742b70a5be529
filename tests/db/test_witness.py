"""The witness on a real catalogue: an honest history has no discrepancies."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, event
from sqlalchemy.orm import Session

from db import claims, due_times, run_requests, runs, tasks, workers
from db.claims import Claimant, Claimed
from db.engine import Catalogue
from db.runs import Ending, RunKey
from db.states import Missed, Outcome, Reason, RunState, Trigger
from db.tables import DueTime
from db.witness import Discrepancy, Verdict, audit
from tests.db.conftest import (
    DAILY,
    MANUAL,
    NOW,
    a_run,
    a_worker,
    an_offer,
    create,
    deployed,
    edit,
    ledger,
    minutes,
    once,
    seconds,
)

HOUR = timedelta(hours=1)
ON_THE_DOT = timedelta()


def verdict(
    session: Session, *, now: datetime, from_at: datetime = NOW - HOUR, to_at: datetime | None = None
) -> Verdict:
    session.flush()
    return audit(session, from_at=from_at, to_at=to_at or now, now=now)


def assert_all_accounted_for(session: Session, count: int, *, now: datetime, waiting: int = 0) -> None:
    found = verdict(session, now=now)
    assert found.discrepancies == ()
    assert (found.due_times, found.accounted, found.waiting) == (count, count, waiting)


def the_only_one(session: Session, *, now: datetime) -> Discrepancy:
    (one,) = verdict(session, now=now).discrepancies
    return one


def run_at(session: Session, task_id: UUID, due_at: datetime, *, late: timedelta = ON_THE_DOT) -> RunKey:
    """A worker claims the due time, executes it, and reports its end."""
    key, worker = start_at(session, task_id, due_at, late=late)
    end(session, key, worker, at=due_at + late + seconds(5))
    return key


def start_at(
    session: Session, task_id: UUID, due_at: datetime, *, late: timedelta = ON_THE_DOT
) -> tuple[RunKey, Claimant]:
    worker = a_worker(session, now=due_at + late)
    answer = claims.claim(session, an_offer(session, task_id, due_at), worker, now=due_at + late)
    assert isinstance(answer, Claimed), answer
    return answer.key, worker


def end(session: Session, key: RunKey, worker: Claimant, *, at: datetime, state: RunState = RunState.COMPLETED) -> None:
    assert runs.finish(session, key, Ending(state, at), worker_id=worker.id)


def lose(session: Session, key: RunKey, worker: Claimant, *, at: datetime) -> None:
    """The worker's machine dies, and the reconciler notices."""
    assert runs.end_unclaimed(session, key, Ending(RunState.CRASHED, at, error="lost"), held_by=worker.id)


def make_rerun(session: Session, *, at: datetime) -> RunKey:
    """The reconciler makes the run that is wanted instead of a lost one."""
    (request,) = run_requests.open_requests(session, now=at)
    key = RunKey(uuid4(), request.due_at)
    run_requests.fulfil(session, request, key.id)
    return key


def take_rerun(session: Session, task_id: UUID, key: RunKey, *, at: datetime) -> Claimant:
    worker = a_worker(session, now=at)
    offer = replace(an_offer(session, task_id, key.due_at, Trigger.RERUN), run_id=key.id)
    assert isinstance(claims.claim(session, offer, worker, now=at), Claimed)
    return worker


def settle(
    session: Session, task_id: UUID, due_at: datetime, outcome: Outcome, reason: Reason, *, at: datetime
) -> None:
    assert due_times.settle(session, task_id, due_at, outcome=outcome, reason=reason, now=at)


def z(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def test_an_empty_catalogue_has_nothing_to_account_for(session: Session) -> None:
    assert_all_accounted_for(session, 0, now=NOW)


def test_what_ran_is_accounted_for(session: Session) -> None:
    task_id = deployed(session)
    for minute in range(1, 6):
        run_at(session, task_id, NOW + minutes(minute))
    assert_all_accounted_for(session, 5, now=NOW + minutes(5) + seconds(30))


def test_what_is_due_in_this_moment_is_not_asked_for(session: Session) -> None:
    task_id = deployed(session)
    session.execute(delete(DueTime).where(DueTime.task_id == task_id))
    assert_all_accounted_for(session, 0, now=NOW + minutes(1) + seconds(10))
    assert the_only_one(session, now=NOW + minutes(1) + seconds(11)).due_at == NOW + minutes(1)


def test_the_last_instant_is_not_part_of_what_is_asked(session: Session) -> None:
    task_id = deployed(session)
    for minute in range(1, 4):
        run_at(session, task_id, NOW + minutes(minute))
    found = verdict(session, from_at=NOW + minutes(1), to_at=NOW + minutes(3), now=NOW + HOUR)
    assert (found.from_at, found.to_at, found.due_times) == (NOW + minutes(1), NOW + minutes(3), 2)


def test_edits_change_what_was_due_from_then_on(session: Session) -> None:
    task_id = deployed(session)
    run_at(session, task_id, NOW + minutes(1))
    edit(session, task_id, now=NOW + minutes(2), schedule={"kind": "cron", "cron": "*/5 * * * *"})
    run_at(session, task_id, NOW + minutes(2))
    run_at(session, task_id, NOW + minutes(5))
    edit(session, task_id, now=NOW + minutes(6), name="renamed")
    edit(session, task_id, now=NOW + minutes(7), schedule=MANUAL)
    edit(session, task_id, now=NOW + minutes(11) + seconds(30), schedule={"kind": "cron", "cron": "* * * * *"})
    run_at(session, task_id, NOW + minutes(12))
    assert_all_accounted_for(session, 4, now=NOW + minutes(12) + seconds(50))


@pytest.mark.parametrize("missed", [Missed.NONE, Missed.LAST, Missed.ALL])
def test_pauses_are_accounted_for_whatever_is_wanted_when_they_end(session: Session, missed: Missed) -> None:
    task_id = deployed(session)
    run_at(session, task_id, NOW + minutes(1))
    tasks.pause_task(session, task_id, reason="repairs", actor="anna", now=NOW + minutes(1) + seconds(30))
    for minute in (2, 3):
        settle(session, task_id, NOW + minutes(minute), Outcome.SKIPPED, Reason.PAUSED, at=NOW + minutes(minute))
    resumed_at = NOW + minutes(4) + seconds(30)  # nobody has decided the last one by then
    tasks.resume_task(session, task_id, missed=missed, actor="anna", now=resumed_at)
    waiting = {Missed.NONE: 0, Missed.LAST: 1, Missed.ALL: 3}[missed]
    assert sum(row.reason == Reason.RESUMED for row in ledger(session, task_id)) == waiting
    run_at(session, task_id, NOW + minutes(5))
    assert_all_accounted_for(session, 5, now=NOW + minutes(5) + seconds(45), waiting=waiting)


def test_a_pause_with_an_end_is_over_at_that_instant(session: Session) -> None:
    task_id = deployed(session)
    until = NOW + minutes(3)
    tasks.pause_task(session, task_id, until=until, actor="anna", now=NOW + seconds(90))
    # What had passed before the pause and was not claimed is not run in it, either.
    tasks.resume_task(session, task_id, actor="reconciler", now=until + seconds(40))
    run_at(session, task_id, until, late=seconds(41))
    assert [(row.outcome, row.reason) for row in ledger(session, task_id)][:3] == [
        (Outcome.SKIPPED, Reason.PAUSED),
        (Outcome.SKIPPED, Reason.PAUSED),
        (Outcome.RAN, None),
    ]
    assert_all_accounted_for(session, 3, now=until + seconds(59))


def test_a_task_in_the_trash_is_not_due_until_it_is_restored(session: Session) -> None:
    task_id = deployed(session)
    run_at(session, task_id, NOW + minutes(1))
    tasks.delete_task(session, task_id, actor="anna", now=NOW + minutes(2) + seconds(5))
    assert ledger(session, task_id)[1].reason == Reason.DELETED
    assert_all_accounted_for(session, 2, now=NOW + minutes(9))
    tasks.restore_task(session, task_id, actor="anna", now=NOW + minutes(9) + seconds(30))
    run_at(session, task_id, NOW + minutes(10))
    assert_all_accounted_for(session, 3, now=NOW + minutes(10) + seconds(30))


def test_a_once_in_the_past_is_caught_up_with_when_somebody_wants_it(session: Session) -> None:
    at = NOW - minutes(30)
    task_id = deployed(session, schedule=once(at, run_if_past=True))
    run_at(session, task_id, at, late=minutes(30))
    other = deployed(session, name="other", schedule=once(NOW + minutes(1)))
    run_at(session, other, NOW + minutes(1))
    assert_all_accounted_for(session, 2, now=NOW + minutes(3))
    # An edit of something else does not run it again; another moment does.
    edit(session, other, now=NOW + minutes(4), description="the same")
    edit(session, other, now=NOW + minutes(5), schedule=once(NOW - minutes(10), run_if_past=True))
    run_at(session, other, NOW - minutes(10), late=minutes(15))
    assert_all_accounted_for(session, 3, now=NOW + minutes(9))


def test_a_once_that_passed_in_the_trash_or_was_moved_was_never_due(session: Session) -> None:
    task_id = create(session, schedule=once(NOW + minutes(2)))
    tasks.delete_task(session, task_id, actor="anna", now=NOW + minutes(1))
    tasks.restore_task(session, task_id, actor="anna", now=NOW + minutes(3))
    moved = create(session, name="moved", schedule=once(NOW + minutes(2)))
    edit(session, moved, now=NOW + minutes(1), schedule=once(NOW + timedelta(days=1)))
    assert_all_accounted_for(session, 0, now=NOW + minutes(9))


def test_an_edit_catches_up_with_a_once_that_passed_in_the_trash_only_if_it_is_about_when(session: Session) -> None:
    task_id = deployed(session, schedule=once(NOW + minutes(2), run_if_past=True))
    tasks.delete_task(session, task_id, actor="anna", now=NOW + minutes(1))
    tasks.restore_task(session, task_id, actor="anna", now=NOW + minutes(3))
    edit(session, task_id, now=NOW + minutes(4), description="the same moment")
    assert_all_accounted_for(session, 0, now=NOW + minutes(5))
    edit(session, task_id, now=NOW + minutes(6), starts_at=z(NOW + minutes(2)))
    run_at(session, task_id, NOW + minutes(2), late=minutes(4))
    assert_all_accounted_for(session, 1, now=NOW + minutes(9))


def test_start_and_end_of_a_task_bound_what_is_due(session: Session) -> None:
    task_id = deployed(session, starts_at=z(NOW + minutes(2)), ends_at=z(NOW + minutes(3)))
    run_at(session, task_id, NOW + minutes(2))
    run_at(session, task_id, NOW + minutes(3))
    assert_all_accounted_for(session, 2, now=NOW + minutes(9))


def test_what_was_too_late_was_superseded_or_overlapped_is_accounted_for(session: Session) -> None:
    late = deployed(session, name="late", schedule=once(NOW + minutes(1)), max_lateness_seconds=30)
    settle(session, late, NOW + minutes(1), Outcome.MISSED, Reason.LATE, at=NOW + minutes(1) + seconds(31))
    skip = deployed(session, name="skip", schedule=once(NOW + minutes(1)), misfire="skip")
    settle(session, skip, NOW + minutes(1), Outcome.MISSED, Reason.LATE, at=NOW + minutes(1) + seconds(61))
    latest = deployed(session, name="latest", ends_at=z(NOW + minutes(3)))
    for minute in (1, 2):
        at = NOW + minutes(3) + seconds(1)
        settle(session, latest, NOW + minutes(minute), Outcome.SKIPPED, Reason.SUPERSEDED, at=at)
    run_at(session, latest, NOW + minutes(3), late=seconds(2))
    overlap = deployed(session, name="overlap", ends_at=z(NOW + minutes(2)))
    key, worker = start_at(session, overlap, NOW + minutes(1))
    claims.claim(session, an_offer(session, overlap, NOW + minutes(2)), worker, now=NOW + minutes(2))
    end(session, key, worker, at=NOW + minutes(4))
    assert ledger(session, overlap)[1].reason == Reason.OVERLAP
    assert_all_accounted_for(session, 7, now=NOW + HOUR)


def test_a_run_that_began_long_before_explains_an_overlap(session: Session) -> None:
    task_id = deployed(session, ends_at=z(NOW + minutes(90)))
    key, worker = start_at(session, task_id, NOW + minutes(1))
    due_times.extend(session, now=NOW + minutes(89))
    for minute in range(2, 91):
        at = NOW + minutes(minute)
        claims.claim(session, an_offer(session, task_id, at), worker, now=at)
    end(session, key, worker, at=NOW + minutes(90) + seconds(5))
    found = verdict(session, from_at=NOW + minutes(80), now=NOW + minutes(99))
    assert (found.due_times, found.discrepancies) == (11, ())


def test_what_waits_in_line_or_is_caught_up_with_is_waiting(session: Session) -> None:
    queue = deployed(session, name="queue", overlap="queue", ends_at=z(NOW + minutes(3)))
    _, worker = start_at(session, queue, NOW + minutes(1))
    assert workers.beat(session, worker.id, now=NOW + minutes(5))
    catching_up = deployed(session, name="all", misfire="all", ends_at=z(NOW + minutes(3)))
    assert pending_count(session, queue) == 2
    assert pending_count(session, catching_up) == 3
    assert_all_accounted_for(session, 6, now=NOW + minutes(5), waiting=5)


def pending_count(session: Session, task_id: UUID) -> int:
    return sum(row.outcome == Outcome.PENDING for row in ledger(session, task_id))


def test_a_run_that_its_machine_took_along_is_unknown_or_goes_on_elsewhere(session: Session) -> None:
    fail = deployed(session, name="fail", schedule=once(NOW + minutes(1)))
    lose(session, *start_at(session, fail, NOW + minutes(1)), at=NOW + minutes(2))
    rerun = deployed(session, name="rerun", schedule=once(NOW + minutes(1)), on_crash="rerun")
    lose(session, *start_at(session, rerun, NOW + minutes(1)), at=NOW + minutes(2))
    assert_all_accounted_for(session, 2, now=NOW + minutes(3))  # asked for
    second = make_rerun(session, at=NOW + minutes(3))
    assert_all_accounted_for(session, 2, now=NOW + minutes(4))  # made
    worker = take_rerun(session, rerun, second, at=NOW + minutes(4))
    lose(session, second, worker, at=NOW + minutes(5))
    third = make_rerun(session, at=NOW + minutes(6))
    worker = take_rerun(session, rerun, third, at=NOW + minutes(6))
    assert_all_accounted_for(session, 2, now=NOW + minutes(7))  # going on
    end(session, third, worker, at=NOW + minutes(8))
    assert_all_accounted_for(session, 2, now=NOW + minutes(9))  # ran


def test_a_run_that_waited_for_its_next_attempt_goes_on_elsewhere_whatever_the_task_says(session: Session) -> None:
    task_id = deployed(session, schedule=once(NOW + minutes(1)), retries=3)
    key, worker = start_at(session, task_id, NOW + minutes(1))
    waits_until = NOW + minutes(5)
    assert runs.next_attempt(session, key, worker_id=worker.id, state=RunState.RETRYING, attempt=2, at=waits_until)
    lose(session, key, worker, at=NOW + minutes(2))
    assert_all_accounted_for(session, 1, now=NOW + minutes(4))
    second = make_rerun(session, at=waits_until)
    worker = take_rerun(session, task_id, second, at=waits_until)
    assert runs.next_attempt(session, second, worker_id=worker.id, state=RunState.RUNNING, attempt=3)
    end(session, second, worker, at=NOW + minutes(6), state=RunState.FAILED)
    assert_all_accounted_for(session, 1, now=NOW + minutes(7))


def test_a_rerun_that_never_started_leaves_its_due_time_unknown(session: Session) -> None:
    withdrawn = deployed(session, name="withdrawn", schedule=once(NOW + minutes(1)), on_crash="rerun")
    lose(session, *start_at(session, withdrawn, NOW + minutes(1)), at=NOW + minutes(2))
    tasks.delete_task(session, withdrawn, actor="anna", now=NOW + minutes(3))
    cancelled = deployed(session, name="cancelled", schedule=once(NOW + minutes(1)), on_crash="rerun")
    lose(session, *start_at(session, cancelled, NOW + minutes(1)), at=NOW + minutes(2))
    second = make_rerun(session, at=NOW + minutes(3))
    assert runs.end_unclaimed(session, second, Ending(RunState.CANCELLED, NOW + minutes(4)))
    assert [ledger(session, one)[0].outcome for one in (withdrawn, cancelled)] == [Outcome.UNKNOWN] * 2
    assert_all_accounted_for(session, 2, now=NOW + minutes(6))


def test_while_a_due_time_is_handed_to_another_machine_the_next_one_overlaps(session: Session) -> None:
    task_id = deployed(session, on_crash="rerun", ends_at=z(NOW + minutes(3)))
    lose(session, *start_at(session, task_id, NOW + minutes(1)), at=NOW + minutes(1) + seconds(30))
    for minute in (2, 3):
        at = NOW + minutes(minute)
        claims.claim(session, an_offer(session, task_id, at), a_worker(session), now=at)
    second = make_rerun(session, at=NOW + minutes(4))
    end(session, second, take_rerun(session, task_id, second, at=NOW + minutes(4)), at=NOW + minutes(5))
    assert [row.reason for row in ledger(session, task_id)] == [None, Reason.OVERLAP, Reason.OVERLAP]
    assert_all_accounted_for(session, 3, now=NOW + minutes(9))
    found = verdict(session, from_at=NOW + minutes(2), now=NOW + minutes(9))
    assert (found.due_times, found.discrepancies) == (2, ())


def test_runs_besides_the_schedule_owe_nothing_to_the_ledger(session: Session) -> None:
    task_id = deployed(session, schedule=DAILY)
    run_requests.request_run(session, task_id, actor="anna", now=NOW + seconds(1))
    (request,) = run_requests.open_requests(session, now=NOW + seconds(1))
    run_requests.fulfil(session, request, uuid4())
    a_run(session, task_id, NOW + seconds(2), state=RunState.RUNNING, started_at=NOW + seconds(2))
    assert_all_accounted_for(session, 0, now=NOW + minutes(9))


def test_cancelled_before_it_started(session: Session) -> None:
    task_id = deployed(session, schedule=once(NOW + minutes(1)))
    assert due_times.cancel_pending(session, task_id, NOW + minutes(1), now=NOW + minutes(1))
    assert_all_accounted_for(session, 1, now=NOW + minutes(9))


def test_many_tasks_are_all_asked_about(session: Session) -> None:
    for number in range(120):
        create(session, name=f"task {number}", schedule=once(NOW + minutes(1)))
    found = verdict(session, now=NOW + minutes(1) + seconds(30))
    assert (found.due_times, found.accounted, found.discrepancies) == (120, 120, ())


def test_a_ledger_that_moves_between_two_questions_accuses_nobody(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        task_id = deployed(session, schedule=once(NOW + minutes(1)))
    moved = False

    def after_the_rows_were_read(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal moved
        if moved or "FROM due_times" not in statement:
            return
        moved = True
        with catalogue.transaction() as other:
            run_at(other, task_id, NOW + minutes(1), late=seconds(1))

    event.listen(catalogue.engine, "after_cursor_execute", after_the_rows_were_read)
    with catalogue.transaction() as session:
        assert_all_accounted_for(session, 1, now=NOW + minutes(1) + seconds(30))
    assert moved


def test_in_one_snapshot_it_sees_one_moment(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        task_id = deployed(session, schedule=once(NOW + minutes(1)))
    with catalogue.transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        assert_all_accounted_for(session, 1, now=NOW + minutes(1) + seconds(30))
        with catalogue.transaction() as other:
            other.execute(delete(DueTime).where(DueTime.task_id == task_id))
        assert_all_accounted_for(session, 1, now=NOW + minutes(1) + seconds(30))
    with catalogue.transaction() as session:
        assert the_only_one(session, now=NOW + minutes(1) + seconds(30)).task_id == task_id

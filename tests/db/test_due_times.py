"""The ledger: a row for every instant at which a task was due, written ahead, decided once."""

from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import due_times, schedules, sync, tasks
from db.due_times import AT_LEAST, AT_MOST, HORIZON, PLANNED_FOR_EVER, Planned, plan
from db.errors import BadCursor
from db.pages import encode_cursor
from db.partitions import newest_instant
from db.states import Outcome, Reason
from db.tables import DueTime
from tests.db.conftest import (
    DAILY,
    MANUAL,
    NOW,
    a_task,
    create,
    deployed,
    edit,
    ledger,
    minutes,
    once,
    outcomes,
    pending,
    seconds,
    status,
)

SECONDLY = {"kind": "cron", "cron": "* * * * * *"}
MONTHLY = {"kind": "cron", "cron": "0 0 1 * *"}
SCHEDULES: list[dict[str, Any]] = [
    {"kind": "cron", "cron": "* * * * *"},
    {"kind": "cron", "cron": "*/7 * * * *"},
    SECONDLY,
    DAILY,
    MONTHLY,
    MANUAL,
    once(NOW + minutes(4)),
    once(NOW + timedelta(days=3000)),
]


@settings(max_examples=60)
@given(st.sampled_from(SCHEDULES), st.integers(0, 30 * 24 * 3600), st.integers(-600, 600))
def test_a_plan_leaves_out_nothing_up_to_where_it_says_that_it_is_complete(
    schedule: dict[str, Any], behind: int, ahead: int
) -> None:
    task, after, now = a_task(schedule=schedule), NOW - seconds(behind), NOW + seconds(ahead)
    planned = plan(task, after=after, now=now)
    everything = schedules.due_times(task.schedule.value(), after=after)
    complete = [at for at in islice(everything, AT_MOST + 1) if at <= planned.until]
    assert list(planned.due_at) == complete[:AT_MOST]
    assert planned.until >= min(now + HORIZON, *planned.due_at[AT_MOST - 1 :], PLANNED_FOR_EVER)
    assert planned.until > after
    assert len(planned.due_at) <= AT_MOST


def test_what_is_written_ahead_reaches_ten_minutes_or_three_due_times() -> None:
    assert len(plan(a_task(), after=NOW, now=NOW).due_at) == 10
    assert len(plan(a_task(schedule=DAILY), after=NOW, now=NOW).due_at) == AT_LEAST
    assert plan(a_task(schedule=MANUAL), after=NOW, now=NOW).until == PLANNED_FOR_EVER


def test_nothing_is_planned_for_months_that_have_no_partition_yet() -> None:
    far = newest_instant(NOW)
    assert plan(a_task(schedule=once(far)), after=NOW, now=NOW).due_at == ()
    assert plan(a_task(schedule=once(far - seconds(1))), after=NOW, now=NOW).due_at == (far - seconds(1),)
    yearly = plan(a_task(schedule=MONTHLY), after=NOW, now=NOW)
    assert all(at < far for at in yearly.due_at)
    assert yearly.until < PLANNED_FOR_EVER


def test_a_ledger_that_reaches_far_enough_is_not_extended(session: Session) -> None:
    create(session)
    assert due_times.extend(session, now=NOW) == 0
    assert due_times.extend(session, now=NOW + HORIZON / 2) == 0


def test_a_ledger_that_ends_soon_goes_on_where_it_ended(session: Session) -> None:
    task_id = create(session)
    later = NOW + HORIZON / 2 + seconds(1)
    assert due_times.extend(session, now=later) == 1
    assert due_times.extend(session, now=later) == 0
    assert pending(session, task_id) == [NOW + minutes(m) for m in range(1, 16)]


def test_what_passed_in_an_outage_gets_its_rows_too(session: Session) -> None:
    task_id = create(session)
    back = NOW + timedelta(hours=3)
    assert due_times.extend(session, now=back) == 1
    assert pending(session, task_id) == [NOW + minutes(m) for m in range(1, 3 * 60 + 11)]


def test_a_long_outage_is_made_up_for_in_several_passes(session: Session) -> None:
    task_id = create(session, schedule=SECONDLY)
    back = NOW + timedelta(hours=1)
    passes = 0
    while due_times.extend(session, now=back):
        passes += 1
    assert passes > 1
    found = pending(session, task_id)
    assert found == [NOW + seconds(s) for s in range(1, len(found) + 1)]
    assert found[-1] >= back + HORIZON / 2


def test_deleted_tasks_are_not_extended_and_those_that_wait_longest_come_first(session: Session) -> None:
    tasks.delete_task(session, create(session, name="deleted"), actor="anna", now=NOW)
    longest = create(session, name="longest", now=NOW - minutes(5))
    create(session, name="other")
    assert due_times.extend(session, now=NOW + minutes(30), limit=1) == 1
    assert status(session, longest).planned_until == NOW + minutes(40)
    assert due_times.extend(session, now=NOW + minutes(30)) == 1


def test_a_claim_waits_for_the_rows_of_other_tasks_no_longer_than_it_takes_to_write_them(session: Session) -> None:
    """To think of them takes longer, so nothing is locked meanwhile, and what is changed meanwhile is left alone."""
    task_id = create(session)
    thinking = due_times.plan

    def paused_meanwhile(*given: Any, **more: Any) -> Planned:
        tasks.pause_task(session, task_id, actor="anna", now=NOW)
        return thinking(*given, **more)

    later, until = NOW + HORIZON, status(session, task_id).planned_until
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(due_times, "plan", paused_meanwhile)
        assert due_times.extend(session, now=later) == 0
    assert status(session, task_id).planned_until == until
    assert due_times.extend(session, now=later) == 1


def test_an_edit_after_an_outage_first_writes_what_the_old_schedule_was_due_at(session: Session) -> None:
    task_id = create(session)
    back = NOW + minutes(30)
    edit(session, task_id, schedule={"kind": "cron", "cron": "45 * * * *"}, now=back)
    found = ledger(session, task_id)
    assert [row.due_at for row in found[:31]] == [*(NOW + minutes(m) for m in range(1, 31)), NOW + minutes(45)]
    assert [row.task_version for row in found[29:31]] == [1, 2]


def test_a_deletion_after_an_outage_decides_everything_that_came_to_be_due(session: Session) -> None:
    task_id = create(session)
    tasks.delete_task(session, task_id, actor="anna", now=NOW + minutes(30))
    assert outcomes(session, task_id) == [(Outcome.CANCELLED, Reason.DELETED)] * 30


def test_what_passed_during_a_pause_stays_skipped_when_it_is_over(session: Session) -> None:
    for resume in ("resume", "edit"):
        task_id = create(session, name=resume)
        tasks.pause_task(session, task_id, actor="anna", now=NOW)
        over = NOW + minutes(20) + seconds(30)
        if resume == "resume":
            tasks.resume_task(session, task_id, actor="anna", now=over)
        else:
            edit(session, task_id, paused=False, now=over)
        assert outcomes(session, task_id)[:20] == [(Outcome.SKIPPED, Reason.PAUSED)] * 20
        assert pending(session, task_id)[0] == NOW + minutes(21)


def test_a_pause_that_ends_at_a_due_time_lets_it_run(session: Session) -> None:
    task_id = deployed(session)
    tasks.pause_task(session, task_id, until=NOW + minutes(2), actor="anna", now=NOW)
    expected = due_times.pending_until(session, until=NOW + minutes(3), now=NOW)
    assert [(one.due_at, one.task.paused) for one in expected] == [
        (NOW + minutes(1), True),
        (NOW + minutes(2), False),
        (NOW + minutes(3), False),
    ]
    tasks.resume_task(session, task_id, actor="duetime", now=NOW + minutes(2) + seconds(1))
    assert outcomes(session, task_id)[:2] == [(Outcome.SKIPPED, Reason.PAUSED), (Outcome.PENDING, None)]


def test_a_due_time_has_one_row(session: Session) -> None:
    task_id = create(session)
    due_times.write_ahead(session, task_id, a_task(), version=2, after=NOW, now=NOW)
    assert len(ledger(session, task_id)) == 10
    again = {"task_id": task_id, "due_at": NOW + minutes(1), "task_version": 1, "outcome": "pending"}
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(insert(DueTime).values(again))


def settle(session: Session, task_id: UUID, outcome: Outcome = Outcome.SKIPPED) -> bool:
    return due_times.settle(
        session, task_id, NOW + minutes(1), outcome=outcome, reason=Reason.OVERLAP, now=NOW + minutes(1)
    )


def test_a_due_time_is_settled_once(session: Session) -> None:
    task_id = create(session)
    assert settle(session, task_id)
    assert not settle(session, task_id, Outcome.MISSED)
    assert outcomes(session, task_id)[0] == (Outcome.SKIPPED, Reason.OVERLAP)
    assert ledger(session, task_id)[0].decided_at == NOW + minutes(1)


def test_a_due_time_that_was_claimed_meanwhile_is_not_settled(session: Session) -> None:
    task_id = create(session)
    begin(session, task_id)
    assert not settle(session, task_id)
    assert not due_times.cancel_pending(session, task_id, NOW + minutes(1), now=NOW)
    assert outcomes(session, task_id)[0] == (Outcome.RUNNING, None)


def begin(session: Session, task_id: UUID, run_id: UUID = UUID(int=1)) -> None:  # noqa: B008 - a constant
    due_times.begin(
        session, task_id, NOW + minutes(1), run_id=run_id, version=3, started_at=NOW + minutes(1) + seconds(2)
    )


def test_a_due_time_that_is_run_knows_its_run_its_version_and_its_lateness(session: Session) -> None:
    task_id = create(session)
    begin(session, task_id)
    begin(session, task_id, UUID(int=2))
    row = ledger(session, task_id)[0]
    assert (row.outcome, row.run_id, row.task_version, row.lateness_seconds) == ("running", UUID(int=1), 3, 2.0)
    assert ledger(session, task_id)[1].lateness_seconds is None


def test_a_cancelled_due_time_says_that_it_was(session: Session) -> None:
    task_id = create(session)
    assert due_times.cancel_pending(session, task_id, NOW + minutes(1), now=NOW)
    assert not due_times.cancel_pending(session, task_id, NOW + minutes(1), now=NOW)
    assert not due_times.cancel_pending(session, task_id, NOW + seconds(1), now=NOW)
    assert outcomes(session, task_id)[0] == (Outcome.CANCELLED, Reason.CANCELLED)


def test_what_is_pending_is_answered_oldest_first_with_what_is_needed_to_run_it(session: Session) -> None:
    first, second = deployed(session, name="first"), deployed(session, name="second", schedule=once(NOW + seconds(30)))
    create(session, name="not deployed", schedule=once(NOW + seconds(31)))
    tasks.delete_task(session, deployed(session, name="deleted"), actor="anna", now=NOW)
    found = due_times.pending_until(session, until=NOW + minutes(1), now=NOW)
    assert [(one.task.name, one.due_at) for one in found] == [
        ("second", NOW + seconds(30)),
        ("not deployed", NOW + seconds(31)),
        ("first", NOW + minutes(1)),
    ]
    assert [one.schedule_id for one in found] == ["s", None, "s"]
    assert [one.deployment_id for one in found] == [
        status(session, second).deployment_id,
        None,
        status(session, first).deployment_id,
    ]
    assert len(due_times.pending_until(session, until=NOW + minutes(5), now=NOW, limit=2)) == 2
    sync.forget_deployments(session)
    assert {one.deployment_id for one in due_times.pending_until(session, until=NOW + minutes(1), now=NOW)} == {None}


def test_the_ledger_is_read_in_pages_oldest_first(session: Session) -> None:
    task_id, _ = create(session), create(session, name="another")
    settle(session, task_id)
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = due_times.list_due_times(session, task_id, limit=4, cursor=cursor)
        assert len(page.items) <= 4
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [row.due_at for row in found] == [NOW + minutes(m) for m in range(1, 11)]


def test_the_ledger_is_narrowed_by_time_and_outcome(session: Session) -> None:
    task_id = create(session)
    settle(session, task_id)

    def listed(**narrowed: Any) -> list[float]:
        page = due_times.list_due_times(session, task_id, **narrowed)
        return [(row.due_at - NOW) / minutes(1) for row in page.items]

    assert listed(from_at=NOW + minutes(2), to_at=NOW + minutes(4)) == [2, 3]
    assert listed(outcome=Outcome.SKIPPED) == [1]
    assert listed(outcome=Outcome.PENDING, limit=2) == [2, 3]
    assert listed(limit=10)[-1] == 10
    assert due_times.list_due_times(session, task_id, limit=10).next_cursor is None
    assert due_times.list_due_times(session, task_id, limit=9).next_cursor is not None


@pytest.mark.parametrize("cursor", ["", "x", encode_cursor("yesterday"), encode_cursor("2026-01-01", "x"), "\ud800"])
def test_a_cursor_that_nobody_made_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(BadCursor):
        due_times.list_due_times(session, create(session), cursor=cursor)


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01"])
def test_a_cursor_far_away_is_a_page_like_any_other(session: Session, instant: str) -> None:
    due_times.list_due_times(session, create(session), cursor=encode_cursor(instant))


def test_the_next_due_time_keeps_to_the_window() -> None:
    later = NOW + minutes(30)
    assert due_times.first_after(a_task(), now=NOW) == NOW + minutes(1)
    assert due_times.first_after(a_task(starts_at=later.isoformat()), now=NOW) == later
    assert due_times.first_after(a_task(ends_at=(NOW + seconds(59)).isoformat()), now=NOW) is None
    assert due_times.first_after(a_task(schedule=MANUAL), now=NOW) is None

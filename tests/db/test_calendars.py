"""Calendars on a real catalogue: what the ledger says of closed days, and what a change of a calendar does to it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import calendars, claims, due_times, sync, tasks, workers
from db.claims import Claimed, StandDown
from db.closures import Dates, Entries, OnClosed, Weekday, Weekly
from db.engine import Catalogue
from db.errors import CalendarChanged, CalendarInUse, CalendarNotFound, NameTaken
from db.evidence import explain
from db.policies import Refusal
from db.specs import InvalidTask, as_document, as_said
from db.states import Misfire, Missed, Outcome, Reason
from db.tables import AuditEntry, Revision
from db.witness import audit
from tests.db.conftest import (
    DAILY,
    NOW,
    a_task,
    a_worker,
    an_offer,
    claim_at,
    create,
    edit,
    ledger,
    outcomes,
    seconds,
    status,
    view,
)

TODAY = NOW.date()
DAY = timedelta(days=1)
TOMORROW: Entries = (Dates(first=TODAY + DAY, name="Founding day"),)
ALWAYS: Entries = (Weekly(days=tuple(Weekday)),)
ONE_O_CLOCK = NOW + timedelta(hours=1)
"""When a daily task is due today; a day later it is due tomorrow."""


def a_calendar(session: Session, name: str = "holidays", entries: Entries = TOMORROW) -> None:
    calendars.add(session, name, entries, actor="anna", now=NOW)


def daily(*names: str, then: OnClosed = OnClosed.SKIP) -> dict[str, Any]:
    return {**DAILY, "calendars": list(names or ["holidays"]), "on_closed": then}


def deployed(session: Session, **changes: Any) -> UUID:
    task_id = create(session, **changes)
    sync.record_synced(session, task_id, version=1, deployment_id=uuid4(), applied={"schedule_id": "s"})
    return task_id


def planned(session: Session, task_id: UUID) -> list[tuple[timedelta, str | None]]:
    """How far each due time is from one o'clock, and what the ledger says of it already."""
    return [(row.due_at - ONE_O_CLOCK, row.reason) for row in ledger(session, task_id)]


def test_a_closed_day_is_in_the_ledger_and_is_not_run(session: Session) -> None:
    a_calendar(session)
    task_id = deployed(session, schedule=daily())
    assert planned(session, task_id) == [(0 * DAY, None), (1 * DAY, "closed"), (2 * DAY, None)]
    assert claim_at(session, task_id, ONE_O_CLOCK + DAY) == StandDown(Reason.CLOSED)
    assert outcomes(session, task_id)[1] == ("skipped", "closed")
    assert isinstance(claim_at(session, task_id, ONE_O_CLOCK + 2 * DAY), Claimed)
    assert view(session, task_id, now=ONE_O_CLOCK).next_due_at == ONE_O_CLOCK + 2 * DAY


@pytest.mark.parametrize(("then", "extra"), [(OnClosed.NEXT, 2 * DAY), (OnClosed.PREVIOUS, 0 * DAY)])
def test_what_moves_is_due_on_the_other_day_as_well(session: Session, then: OnClosed, extra: timedelta) -> None:
    a_calendar(session)
    day = (ONE_O_CLOCK + DAY).day
    monthly = {**daily(then=then), "cron": f"0 13 {day} * *"}
    task_id = deployed(session, schedule=monthly)
    assert planned(session, task_id)[:2] == sorted([(1 * DAY, "closed"), (extra, None)])
    assert isinstance(claim_at(session, task_id, ONE_O_CLOCK + extra), Claimed)
    after = ONE_O_CLOCK + 3 * DAY
    assert claim_at(session, task_id, ONE_O_CLOCK + DAY, now=after) == StandDown(Reason.CLOSED)
    moved = next(row for row in ledger(session, task_id) if row.reason == Reason.CLOSED)
    (why,) = explain(session, task_id, [moved], now=after)
    assert why is not None
    assert why.startswith("Skipped: closed for Founding day, and moved to ")


def test_a_change_of_a_calendar_is_a_new_version_of_each_task_that_follows_it(session: Session) -> None:
    a_calendar(session)
    task_id, other = deployed(session, schedule=daily()), deployed(session, name="other", schedule=DAILY)
    today: Entries = (Dates(first=TODAY),)
    assert tasks.change_calendar(session, "holidays", today, seen_version=1, actor="ben", now=NOW) == 1
    assert planned(session, task_id) == [(0 * DAY, "closed"), (1 * DAY, None), (2 * DAY, None)]
    assert (view(session, task_id).version, view(session, other).version) == (2, 1)
    newest = session.get_one(Revision, (task_id, 2))
    assert (newest.actor, newest.change) == ("ben", "edited")
    details = session.scalars(select(AuditEntry.details).where(AuditEntry.task_id == task_id)).all()
    assert {"calendar": "holidays"} in details
    assert status(session, task_id).wanted_version == 2
    # And back.
    tasks.rollback_task(session, task_id, version=1, actor="ben", now=NOW)
    assert planned(session, task_id)[0] == (0 * DAY, "closed")  # a version follows the calendar as it is now


def test_what_has_passed_stays_as_it_was(session: Session) -> None:
    a_calendar(session)
    task_id = deployed(session, schedule=daily())
    later = ONE_O_CLOCK + DAY + seconds(5)
    tasks.change_calendar(session, "holidays", (), seen_version=None, actor="ben", now=later)
    assert planned(session, task_id)[1] == (1 * DAY, "closed")
    assert claim_at(session, task_id, ONE_O_CLOCK + DAY, now=later + seconds(1)) == StandDown(Reason.CLOSED)


def test_a_closed_due_time_does_not_supersede_an_open_one(session: Session) -> None:
    """Nobody was there for two days, of which the second was closed: the first is run all the same."""
    a_calendar(session)
    task_id = deployed(session, schedule=daily(), misfire=Misfire.LATEST)
    after_both = ONE_O_CLOCK + DAY + timedelta(hours=2)
    assert isinstance(claim_at(session, task_id, ONE_O_CLOCK, now=after_both), Claimed)


def test_what_is_closed_stays_so_when_a_pause_ends(session: Session) -> None:
    a_calendar(session)
    task_id = deployed(session, schedule=daily())
    tasks.pause_task(session, task_id, actor="anna", now=NOW)
    end = ONE_O_CLOCK + 2 * DAY + seconds(1)
    for offset in (0 * DAY, 1 * DAY, 2 * DAY):
        due_times.settle(
            session,
            task_id,
            ONE_O_CLOCK + offset,
            outcome=Outcome.SKIPPED,
            reason=Reason.PAUSED,
            now=ONE_O_CLOCK + offset,
        )
    tasks.resume_task(session, task_id, missed=Missed.ALL, actor="anna", now=end)
    assert isinstance(claim_at(session, task_id, ONE_O_CLOCK, now=end), Claimed)
    assert claim_at(session, task_id, ONE_O_CLOCK + DAY, now=end) == StandDown(Reason.CLOSED)


def test_the_witness_agrees(session: Session) -> None:
    a_calendar(session)
    monthly = {**daily(then=OnClosed.NEXT), "cron": f"0 13 {(ONE_O_CLOCK + DAY).day} * *"}
    task_id, moved = deployed(session, schedule=daily()), deployed(session, name="moved", schedule=monthly)
    worker, at = a_worker(session), ONE_O_CLOCK + DAY
    for each, due_at in ((task_id, ONE_O_CLOCK), (task_id, at), (moved, at)):
        claims.claim(session, an_offer(session, each, due_at), worker, now=due_at)
    assert workers.beat(session, worker.id, now=NOW + 2 * DAY)
    found = audit(session, from_at=ONE_O_CLOCK + seconds(1), to_at=NOW + 2 * DAY, now=NOW + 2 * DAY)
    assert found.discrepancies == ()
    assert found.due_times == 2


def test_the_witness_notices_what_was_not_closed(session: Session) -> None:
    task_id = deployed(session, schedule=DAILY)
    refused = Refusal(Outcome.SKIPPED, Reason.CLOSED)
    due_times.settle(session, task_id, ONE_O_CLOCK, outcome=refused.outcome, reason=refused.reason, now=ONE_O_CLOCK)
    session.flush()
    (one,) = audit(session, from_at=NOW, to_at=NOW + DAY, now=NOW + DAY).discrepancies
    assert "no calendar of the task was closed" in one.what


def test_a_task_names_calendars_that_are_there(session: Session) -> None:
    with pytest.raises(InvalidTask, match=r"schedule.calendars: There is no calendar named 'holidays'\."):
        create(session, schedule=daily())
    a_calendar(session)
    a_calendar(session, "blackouts", (Dates(first=TODAY),))
    task_id = create(session, schedule=daily("holidays", "blackouts"))
    assert [reason for _, reason in planned(session, task_id)] == ["closed", "closed", None]
    said = as_said(view(session, task_id).spec)["schedule"]
    assert said == {**DAILY, "calendars": ["blackouts", "holidays"]}
    assert "calendars" not in as_document(a_task(schedule=DAILY))["schedule"]


def test_a_task_that_is_always_closed_is_refused(session: Session) -> None:
    a_calendar(session, entries=ALWAYS)
    with pytest.raises(InvalidTask, match="Its calendars are closed whenever it is due"):
        create(session, schedule=daily())


def test_what_is_due_often_is_not_moved() -> None:
    with pytest.raises(InvalidTask, match=r"schedule.on_closed: What is due more than 24 times a day"):
        a_task(schedule={"kind": "cron", "cron": "* * * * *", "calendars": ["x"], "on_closed": "next"})


def test_a_calendar_in_use_stays(session: Session) -> None:
    a_calendar(session)
    task_id = create(session, schedule=daily())
    tasks.delete_task(session, task_id, actor="anna", now=NOW)
    with pytest.raises(CalendarInUse, match="1 task follows calendar 'holidays', those in the trash included"):
        calendars.remove(session, "holidays", actor="anna", now=NOW)
    tasks.restore_task(session, task_id, actor="anna", now=NOW)
    edit(session, task_id, schedule=DAILY)
    calendars.remove(session, "holidays", actor="anna", now=NOW)
    with pytest.raises(CalendarNotFound):
        calendars.get_calendar(session, "holidays")


def test_edits_of_a_calendar_do_not_lose_one_another(session: Session) -> None:
    a_calendar(session)
    with pytest.raises(NameTaken):
        a_calendar(session)
    tasks.change_calendar(session, "holidays", (), seen_version=1, actor="anna", now=NOW)
    with pytest.raises(CalendarChanged):
        tasks.change_calendar(session, "holidays", TOMORROW, seen_version=1, actor="ben", now=NOW)
    assert calendars.get_calendar(session, "holidays").entries == ()


def test_a_task_saved_while_its_calendar_changes_follows_the_change(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        a_calendar(session)
    with ThreadPoolExecutor(1) as pool:
        with catalogue.transaction() as session:
            task_id = create(session, schedule=daily())
            changed = pool.submit(_close_today, catalogue)
            assert not changed.done()
        assert changed.result(timeout=30) == 1
    with catalogue.transaction() as session:
        assert planned(session, task_id)[0] == (0 * DAY, "closed")


def _close_today(catalogue: Catalogue) -> int:
    with catalogue.transaction() as session:
        today: Entries = (Dates(first=TODAY),)
        return tasks.change_calendar(session, "holidays", today, seen_version=None, actor="ben", now=NOW)


def test_prefect_is_asked_for_no_run_of_what_is_closed(session: Session) -> None:
    a_calendar(session)
    task_id = deployed(session, schedule=daily())
    waiting = due_times.pending_until(session, until=ONE_O_CLOCK + DAY, now=NOW)
    assert [(one.task_id, one.waits_for) for one in waiting] == [(task_id, None), (task_id, Reason.CLOSED)]

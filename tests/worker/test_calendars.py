"""A calendar at work: what is due in its window does not run, what moves runs where it goes, and the ledger says so."""

from datetime import timedelta

import pytest

from db import calendars
from db.closures import WEEKDAYS, Dates, Weekly
from db.states import Outcome, Reason
from db.tables import DueTime
from db.witness import audit
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace

pytestmark = pytest.mark.xdist_group("prefect")
DAY = timedelta(days=1)


def test_nothing_runs_in_a_closed_window_and_all_goes_on_after_it(workplace: Workplace) -> None:
    workplace.start_worker()
    at = now().replace(microsecond=0) + timedelta(seconds=12)
    until = at + timedelta(seconds=6)
    window = Weekly(days=WEEKDAYS, begins=at.time(), ends=until.time(), name="Maintenance")
    with workplace.catalogue.transaction() as session:
        calendars.add(session, "blackout", (window,), actor="test", now=now())
    every_second = {"kind": "cron", "cron": "* * * * * *", "timezone": "UTC", "calendars": ["blackout"]}
    # A slow machine may be late by more than a second: it is still to run each of them.
    task = workplace.world.create(schedule=every_second, overlap="allow", misfire="all")

    def passed() -> list[DueTime]:
        return [row for row in workplace.due_times_of(task) if row.outcome not in (Outcome.PENDING, Outcome.RUNNING)]

    def is_over() -> bool:
        inside = [row for row in passed() if at <= row.due_at < until]
        after = [row for row in passed() if row.outcome == Outcome.RAN and row.due_at >= until + timedelta(seconds=2)]
        return len(inside) == 6 and bool(after)

    wait_until(is_over, "runs after the window", seconds=60)
    inside = [row for row in passed() if at <= row.due_at < until]
    assert [(row.outcome, row.reason) for row in inside] == [(Outcome.SKIPPED, Reason.CLOSED)] * 6
    outside = [row for row in passed() if not at <= row.due_at < until]
    assert {(row.outcome, row.reason) for row in outside} == {(Outcome.RAN, None)}
    assert {row.due_at for row in outside if row.due_at < at}
    assert not [run for run in workplace.runs_of(task) if run.started_at and at <= run.due_at < until]
    with workplace.catalogue.transaction() as session:
        assert audit(session, from_at=at - DAY, to_at=until, now=now() + timedelta(seconds=20)).discrepancies == ()


def test_what_moves_to_another_day_runs_there(workplace: Workplace) -> None:
    """Due yesterday at this time of the day, which was closed: so it is due in some seconds."""
    workplace.start_worker()
    at = now().replace(microsecond=0) + timedelta(seconds=12)
    with workplace.catalogue.transaction() as session:
        calendars.add(session, "holiday", (Dates(first=(at - DAY).date()),), actor="test", now=now())
    yesterday = f"{at.minute} {at.hour} {(at - DAY).day} {(at - DAY).month} * {at.second}"
    schedule = {"kind": "cron", "cron": yesterday, "timezone": "UTC", "calendars": ["holiday"], "on_closed": "next"}
    task = workplace.world.create(schedule=schedule)
    run = workplace.ended(task, seconds=60)[0]
    assert run.due_at == at
    assert run.lateness_seconds is not None
    assert run.lateness_seconds >= 0
    assert workplace.due_times_of(task)[0].outcome == Outcome.RAN

"""The page that people keep open all day."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from db.runs import Ending, RunKey
from db.states import Outcome, Reason, RunState
from tests.browser.reading import open_page, row, rows, settle
from tests.browser.world import World, now

pytestmark = pytest.mark.xdist_group("browser")

MINUTELY = {"kind": "cron", "cron": "* * * * *", "timezone": "UTC"}
BY_HAND = {"kind": "manual"}


def test_the_bare_address_leads_to_today(page: Page, world: World) -> None:
    world.task("backup")
    open_page(page, "/", "Today")
    expect(page).to_have_url(re.compile("/today$"))


def test_it_says_first_whether_every_due_time_is_accounted_for(page: Page, world: World) -> None:
    task = world.task("backup", schedule=BY_HAND)
    for minutes in (5, 6, 7):
        world.was_due(task, now() - timedelta(minutes=minutes), Outcome.MISSED, reason=Reason.LATE)
    open_page(page, "/today", "Today")
    expect(page.get_by_text("3 of 3 due times of the last 24 hours accounted for.")).to_be_visible()
    world.was_due(task, now() - timedelta(minutes=2), Outcome.PENDING)
    world.pause(task)
    expect(page.get_by_text("3 of 4 due times of the last 24 hours accounted for; 1 still waits.")).to_be_visible()


def test_the_figures_lead_to_what_they_count(page: Page, world: World) -> None:
    task = world.task("backup", schedule=BY_HAND)
    world.was_due(task, now() - timedelta(minutes=5), Outcome.MISSED, reason=Reason.LATE)
    open_page(page, "/today", "Today")
    page.get_by_role("link", name="Missed", exact=True).click()
    page.get_by_role("heading", level=1, name="Due times").wait_for()
    settle(page)
    expect(row(page, "Due times", "backup")).to_contain_text("It was too late to run.")
    expect(page).to_have_url(re.compile("outcome=Missed"))
    page.get_by_role("radio", name="Skipped").click()
    expect(page.get_by_text("None in the last 24 hours.")).to_be_visible()
    page.go_back()
    page.get_by_role("heading", level=1, name="Today").wait_for()


def test_what_runs_longer_than_usual_stands_out_and_is_cancelled_in_place(page: Page, world: World) -> None:
    task = world.task("backup", schedule=BY_HAND)
    due = now() - timedelta(hours=1)
    world.past(
        task, [(RunKey(uuid4(), due), Ending(RunState.COMPLETED, due + timedelta(seconds=3)))], late=timedelta(0)
    )
    run = world.start(task, due_at=now() - timedelta(seconds=30))
    open_page(page, "/today", "Today")
    shown = row(page, "Running now", "backup")
    expect(shown).to_contain_text("Longer than usual")
    expect(shown).to_contain_text("up to 3.0 s")
    expect(shown.locator(".over")).to_be_visible()
    shown.get_by_role("button", name="Cancel: backup").click()
    expect(shown).to_contain_text("Cancelling")
    assert world.run(run.id).cancel_requested_at is not None


def test_what_comes_next_is_counted_down(page: Page, world: World) -> None:
    world.task("minutely", schedule=MINUTELY)
    world.task("paused", schedule=MINUTELY, paused=True)
    open_page(page, "/today", "Today")
    expect(rows(page, "Due next").first).to_contain_text("minutely")
    expect(rows(page, "Due next").filter(has_text=re.compile(r"in \d+ s|now")).first).to_be_visible()
    expect(row(page, "Due next", "paused")).to_have_count(0)


def test_what_needs_somebody_leads_to_the_problems(page: Page, world: World) -> None:
    task = world.task("backup", schedule=BY_HAND)
    world.end(world.start(task), RunState.FAILED, error="disk full")
    open_page(page, "/today", "Today")
    page.get_by_role("link", name="disk full").click()
    page.get_by_role("heading", level=1, name="Problems").wait_for()


def test_an_empty_day_says_so(page: Page, world: World) -> None:
    world.empty()
    open_page(page, "/today", "Today")
    for words in ("Nothing was due in the last 24 hours.", "Nothing. All is well.", "Nothing is running."):
        expect(page.get_by_text(words)).to_be_visible()

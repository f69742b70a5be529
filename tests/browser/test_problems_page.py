"""What needs somebody, and what they say of it."""

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from db.states import Outcome, Reason, RunState
from tests.browser.reading import open_page, row
from tests.browser.world import HOSTILE, World, now

pytestmark = pytest.mark.xdist_group("browser")


def failing(world: World, *names: str, error: str) -> None:
    for name in names:
        world.end(world.start(world.task(name, schedule={"kind": "manual"})), RunState.FAILED, error=error)


def open_on(page: Page, cause: str) -> None:
    """Returns when this cause is there and no other, which may stay for the two seconds that a read is shared."""
    open_page(page, "/problems", "Problems")
    expect(page.get_by_role("table")).to_have_count(1)
    expect(page.get_by_role("table", name=cause, exact=True)).to_be_visible()


def test_tasks_of_one_cause_stand_together(page: Page, world: World) -> None:
    failing(world, "one", "two", error="No answer after 31 s")
    failing(world, "three", error=HOSTILE)
    missed = world.task("four", schedule={"kind": "manual"})
    world.was_due(missed, now() - timedelta(minutes=5), Outcome.MISSED, reason=Reason.LATE)
    open_page(page, "/problems", "Problems")
    expect(page.get_by_text("4 problems of 4 tasks")).to_be_visible()
    together = page.get_by_role("table", name="No answer after … s", exact=True)
    expect(together.locator("tbody tr")).to_have_count(2)
    expect(page.locator("img[src='x']")).to_have_count(0)
    expect(row(page, "Missed: it was too late to run.", "four")).to_contain_text("Missed")


def test_a_cause_is_acknowledged_and_opened_again(page: Page, world: World) -> None:
    failing(world, "one", "two", error="disk full")
    open_on(page, "disk full")
    page.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(page.get_by_text("Nothing needs you. All is well.")).to_be_visible()
    page.get_by_role("radio", name="Acknowledged").click()
    expect(row(page, "disk full", "one")).to_contain_text("Acknowledged by dashboard")
    page.get_by_role("button", name="Reopen", exact=True).click()
    expect(page.get_by_text("Nothing is acknowledged.")).to_be_visible()
    page.get_by_role("radio", name="Open").click()
    expect(row(page, "disk full", "two")).to_be_visible()


def test_one_task_is_snoozed_and_another_muted(page: Page, world: World) -> None:
    failing(world, "one", "two", "three", error="no space left")
    open_on(page, "no space left")
    page.get_by_role("button", name="Snooze for an hour: one").click()
    expect(row(page, "no space left", "one")).to_have_count(0)
    page.get_by_role("button", name="Mute: two").click()
    expect(row(page, "no space left", "two")).to_have_count(0)
    expect(row(page, "no space left", "three")).to_be_visible()
    page.get_by_role("radio", name="Snoozed").click()
    expect(row(page, "no space left", "one")).to_contain_text("until")
    page.get_by_role("radio", name="Muted").click()
    expect(row(page, "no space left", "two")).to_be_visible()


def test_a_problem_goes_when_the_task_succeeds(page: Page, world: World) -> None:
    task = world.task("backup", schedule={"kind": "manual"})
    world.end(world.start(task), RunState.FAILED, error="disk full")
    open_page(page, "/problems", "Problems")
    expect(row(page, "disk full", "backup")).to_be_visible()
    world.end(world.start(task))
    expect(page.get_by_text("Nothing needs you. All is well.")).to_be_visible()

"""The list of runs."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from db.states import RunState
from tests.browser.reading import open_page, row, rows
from tests.browser.world import HOSTILE, World, now

pytestmark = pytest.mark.xdist_group("browser")


def test_the_newest_run_is_first_and_appears_without_reloading(page: Page, world: World) -> None:
    first, second = world.task("first"), world.task("second")
    world.start(first)
    open_page(page, "/runs", "Runs")
    expect(rows(page, "Runs")).to_have_count(1)
    world.start(second)
    expect(rows(page, "Runs")).to_have_count(2)
    expect(rows(page, "Runs").first).to_contain_text("second")


def test_a_state_filters_and_stays_in_the_address(page: Page, world: World) -> None:
    task = world.task("backup")
    world.end(world.start(task, due_at=now() - timedelta(minutes=2)), RunState.FAILED)
    world.end(world.start(task))
    open_page(page, "/runs", "Runs")
    expect(rows(page, "Runs")).to_have_count(2)
    page.get_by_role("radio", name="Failed").click()
    expect(rows(page, "Runs")).to_have_count(1)
    expect(page).to_have_url(re.compile("run_state=Failed"))
    row(page, "Runs", "Failed").get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"/run\?id="))


def test_older_runs_are_a_page_away(page: Page, world: World) -> None:
    task = world.task("backup")
    for minutes in range(32):
        world.end(world.start(task, due_at=now() - timedelta(minutes=minutes + 1)))
    open_page(page, "/runs", "Runs")
    expect(rows(page, "Runs")).to_have_count(30)
    page.get_by_role("button", name="Older").click()
    expect(rows(page, "Runs")).to_have_count(2)
    page.get_by_role("button", name="Newest").click()
    expect(rows(page, "Runs")).to_have_count(30)


def test_names_are_text_and_nothing_else(page: Page, world: World) -> None:
    world.start(world.task(HOSTILE))
    open_page(page, "/runs", "Runs")
    expect(rows(page, "Runs").first.get_by_role("link")).to_have_text(HOSTILE)
    expect(rows(page, "Runs").first.locator("img, strong")).to_have_count(0)


def test_what_each_worker_did_is_drawn_and_leads_to_the_runs(page: Page, world: World) -> None:
    task = world.task("backup")
    run = world.start(task, due_at=now() - timedelta(minutes=5))
    world.end(run, at=now() - timedelta(minutes=2))
    open_page(page, "/runs", "Runs")
    bar = page.get_by_role("group", name="Runs by worker").get_by_role("link", name=re.compile("backup"))
    expect(bar).to_have_count(1)
    page.get_by_role("radio", name="10 min").click()
    expect(page).to_have_url(re.compile("window=10"))
    expect(bar).to_have_count(1)
    bar.click()
    expect(page).to_have_url(re.compile(rf"/run\?id={run.id}"))


def test_the_runs_of_one_task_are_listed_alone(page: Page, world: World) -> None:
    tasks = {name: world.task(name) for name in ("one", "two")}
    for task in tasks.values():
        world.start(task)
    open_page(page, f"/runs?task={tasks['one']}", "Runs")
    expect(rows(page, "Runs")).to_have_count(1)
    page.get_by_role("button", name="Not only this task's").click()
    expect(rows(page, "Runs")).to_have_count(2)

"""The load ahead, and spreading it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.reading import open_page, row, rows, settle
from tests.browser.world import World

pytestmark = pytest.mark.xdist_group("browser")

NIGHTLY = {"kind": "cron", "cron": "0 2 * * *", "timezone": "UTC"}


def test_the_week_shows_when_how_much_is_due(page: Page, world: World) -> None:
    for name in ("one", "two", "three"):
        world.task(name, schedule=NIGHTLY)
    open_page(page, "/calendar?zone=UTC", "Calendar")
    settle(page)
    cells = page.get_by_role("group", name="Starts by day and hour").get_by_role("button", name=re.compile("02:00: 3$"))
    expect(cells).to_have_count(7)
    cells.last.click()
    expect(page).to_have_url(re.compile(r"hour=\d{4}-\d\d-\d\dT02"))
    expect(page.get_by_role("heading", name=re.compile("Minute by minute, .*02:00 to 03:00"))).to_be_visible()
    expect(page.get_by_title(re.compile("02:00: 3$")).last).to_be_visible()


def test_what_shares_a_minute_is_spread_and_put_back(page: Page, world: World) -> None:
    tasks = {name: world.task(name, schedule=NIGHTLY) for name in ("a", "b", "c", "d")}
    open_page(page, "/calendar?zone=UTC", "Calendar")
    page.get_by_role("table", name="Busiest minutes").get_by_role("link").first.click()
    expect(rows(page, "Tasks that share the minute")).to_have_count(4)
    expect(row(page, "Tasks that share the minute", "b")).to_contain_text("1 2 * * *")
    page.get_by_role("checkbox", name="Choose d").uncheck()
    page.get_by_role("button", name="Spread these 2").click()
    expect(page.locator(".st-key-bulk_result")).to_contain_text("Spread: 2 tasks")

    def crons() -> dict[str, str]:
        return {name: world.see(task).spec.schedule.cron for name, task in tasks.items()}  # type: ignore[union-attr]

    assert crons() == {"a": "0 2 * * *", "b": "1 2 * * *", "c": "2 2 * * *", "d": "0 2 * * *"}
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".st-key-bulk_result")).to_contain_text("Undo: Spread: 2 tasks")
    assert set(crons().values()) == {"0 2 * * *"}


def test_work_is_weighed_by_how_long_runs_take(page: Page, world: World) -> None:
    task = world.task("long", schedule=NIGHTLY)
    world.end(world.start(task))
    open_page(page, "/calendar?zone=UTC&load=Work", "Calendar")
    expect(page.get_by_text("By how long the last run of each task took.")).to_be_visible()

"""What every page says of the ledger: quiet while all is well, loud when it is not."""

import re
from datetime import timedelta
from typing import get_args
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PHONE, Dashboard, Theme, artefact, watched_page
from tests.browser.reading import fits, open_page, rows
from tests.browser.world import HOSTILE, World

pytestmark = pytest.mark.xdist_group("browser")

WELL = "1,234 due times in the last hour, all accounted for."


def discrepancy(task: str) -> dict[str, str]:
    due_at = "2026-11-24T22:05:00+00:00"
    return {"task_id": str(uuid4()), "task_name": task, "due_at": due_at, "what": "There is no row, but it was due."}


@pytest.mark.parametrize("path", ["/tasks", "/runs", "/new"])
def test_while_all_is_well_there_is_a_quiet_line_on_every_page(page: Page, world: World, path: str) -> None:
    world.audit()
    open_page(page, path)
    expect(page.get_by_text(f"{WELL} Checked just now.")).to_be_visible()
    expect(page.get_by_test_id("stAlert")).to_have_count(0)


def test_the_line_says_how_old_it_is(page: Page, world: World) -> None:
    world.audit(ago=timedelta(minutes=4, seconds=5), waiting=1)
    open_page(page, "/tasks", "Tasks")
    line = "1,234 due times in the last hour, all accounted for; 1 of them still waits. Checked 4 min ago."
    expect(page.get_by_text(line)).to_be_visible()


def test_discrepancies_are_loud_and_lead_to_their_tasks(page: Page, world: World) -> None:
    task = world.task("backup")
    first = discrepancy("backup") | {"task_id": str(task)}
    world.audit(discrepancies=[first, *(discrepancy(name) for name in ("report", HOSTILE, "fourth"))])
    open_page(page, "/tasks", "Tasks")
    alarm = "4 discrepancies among 1,234 due times of the last hour, 1 of which is not listed here."
    expect(page.get_by_test_id("stAlert")).to_have_text(re.compile(re.escape(alarm)))
    listed = rows(page, "Due times that are not accounted for")
    expect(listed).to_have_count(3)
    expect(listed.first).to_contain_text("Tue 24 Nov, 23:05")
    expect(listed.first).to_contain_text("There is no row, but it was due.")
    expect(listed.nth(2)).to_contain_text(HOSTILE)
    expect(listed.locator("img")).to_have_count(0)
    expect(page.get_by_text("all accounted for")).to_have_count(0)
    listed.first.get_by_role("link", name="backup").click()
    page.get_by_role("heading", level=1, name="backup").wait_for()


@pytest.mark.parametrize("theme", get_args(Theme))
def test_the_alarm_is_readable_in_both_themes_and_on_a_phone(
    browser: Browser, dashboard: Dashboard, world: World, theme: Theme
) -> None:
    world.audit(discrepancies=[discrepancy("backup")])
    with watched_page(browser, dashboard.url, theme=theme) as page:
        open_page(page, "/tasks", "Tasks")
        expect(rows(page, "Due times that are not accounted for")).to_have_count(1)
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        page.set_viewport_size(PHONE)
        page.screenshot(path=artefact(f"alarm_{theme}_phone.png"))
        fits(page)


def test_an_old_audit_is_loud_and_one_that_is_still_to_come_is_not(page: Page, world: World) -> None:
    open_page(page, "/tasks", "Tasks")
    expect(page.get_by_role("heading", name="Nothing is scheduled yet")).to_be_visible()
    expect(page.get_by_test_id("stAlert")).to_have_count(0)
    world.audit(ago=timedelta(minutes=7, seconds=5))
    open_page(page, "/tasks", "Tasks")
    expect(page.get_by_test_id("stAlert")).to_contain_text("The ledger was audited 7 minutes ago, and not since.")

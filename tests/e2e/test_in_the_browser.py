"""The main job as a person does it: in a real browser, on the whole system, from New task to Undo."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, artefact, watched_page
from tests.browser.reading import lines, open_page, row, rows, settle
from tests.system import System

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(600)]
A_MINUTE_MS = 120_000


@pytest.fixture
def reader(system: System) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with watched_page(browser, system.url) as page:
            yield page
            page.screenshot(path=artefact("the_main_job.png"))
        browser.close()


def field(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name, exact=True)


def seconds_to_the_page(line: Locator) -> float:
    """Waits for the line, and returns how old it is then: it is the time at which it was printed."""
    line.wait_for()
    return time.time() - float(line.inner_text().removeprefix("printed at "))


def test_a_task_made_in_the_page_runs_at_the_next_minute_and_does_what_it_is_told(reader: Page, system: System) -> None:
    page = reader
    open_page(page, "/new", "New task")
    field(page, "Name").fill("printer")
    field(page, "Command").fill('for n in 1 2 3; do sleep 1; echo "printed at $(date +%s.%N)"; done')
    field(page, "Cron expression").fill("* * * * *")
    expect(page.get_by_text("Every minute, ")).to_be_visible()
    page.locator(".st-key-edit_save button").click()
    page.get_by_role("heading", level=1, name="printer").wait_for()

    # It runs at the next minute, and its output appears without reloading.
    expect(row(page, "Runs of this task", "Running")).to_be_visible(timeout=A_MINUTE_MS)
    assert [seconds_to_the_page(lines(page).nth(number)) < 8 for number in range(3)] == [True] * 3
    expect(row(page, "Runs of this task", "Completed")).to_be_visible()
    [task] = system.api("GET", "/tasks?search=printer")["items"]
    run = system.runs_of(task["id"])[0]
    assert (run["trigger"], run["state"], run["due_at"][-4:]) == ("schedule", "completed", ":00Z")
    assert 0 <= run["lateness_seconds"] < 5

    # Paused, it is not due; run now, it runs all the same.
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert system.api("GET", f"/tasks/{task['id']}")["next_due_at"] is None

    # Edited, it does something else.
    settle(page)
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("heading", level=1, name="Edit task").wait_for()
    settle(page)
    field(page, "Command").fill("echo edited in the page")
    page.locator(".st-key-edit_save button").click()
    page.get_by_role("heading", level=1, name="printer").wait_for()
    settle(page)
    before = rows(page, "Runs of this task").count()
    page.get_by_role("button", name="Run now").click()
    expect(rows(page, "Runs of this task")).to_have_count(before + 1)
    expect(lines(page)).to_have_text(["edited in the page"])

    # Deleted, it is gone; undone, it is back.
    page.locator(".st-key-delete").get_by_role("button").first.click()
    page.get_by_role("heading", level=1, name="Tasks").wait_for()
    expect(row(page, "Tasks", "printer")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "Tasks", "printer")).to_be_visible()
    assert system.api("GET", f"/tasks/{task['id']}")["deleted_at"] is None

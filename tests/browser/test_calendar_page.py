"""The load ahead, and spreading it."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from db import calendars
from db.closures import Dates
from tests.browser.conftest import artefact
from tests.browser.reading import open_choices, open_page, row, rows, settle
from tests.browser.world import HOSTILE, World, now

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


FILE = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART;VALUE=DATE:20301226\r\nSUMMARY:Boxing Day\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def test_a_calendar_is_written_in_lines_and_taken_from_a_file(page: Page, world: World, tmp_path: Path) -> None:
    open_page(page, "/calendar?zone=UTC", "Calendar")
    page.get_by_role("button", name="Add a calendar").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("holidays")
    lines = dialog.get_by_role("textbox", name="When it is closed, a line each")
    lines.fill("every year 12-25 Christmas\nsomeday")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("Line 2 cannot be read.")).to_be_visible()
    lines.fill("every year 12-25 Christmas")
    lines.blur()
    (tmp_path / "boxing.ics").write_bytes(FILE.encode())
    dialog.locator("input[type=file]").set_input_files(tmp_path / "boxing.ics")
    expect(lines).to_have_value("every year 12-25 Christmas\n2030-12-26 Boxing Day")
    page.screenshot(path=artefact("calendar-dialog.png"))
    dialog.get_by_role("button", name="Save").click()
    expect(row(page, "Calendars", "holidays")).to_contain_text("every year 12-25 Christmas; 2030-12-26 Boxing Day")
    page.screenshot(path=artefact("calendar-closed.png"), full_page=True)
    found = world.do(lambda session: calendars.get_calendar(session, "holidays"))
    assert [entry.name for entry in found.entries] == ["Christmas", "Boxing Day"]


def test_a_task_follows_a_calendar_and_the_form_says_what_that_means(page: Page, world: World) -> None:
    tomorrow = (now() + timedelta(days=1)).date()
    world.do(
        lambda s: calendars.add(
            s, f"holidays {HOSTILE}", (Dates(first=tomorrow, name=HOSTILE[:100]),), actor="anna", now=now()
        )
    )
    task = world.task("backup", schedule=NIGHTLY)
    open_page(page, f"/edit?id={task}", "Edit task")
    settle(page)
    open_choices(page, page.get_by_role("combobox", name="Calendars"))
    page.get_by_role("option").filter(has_text="<img").click()
    page.keyboard.press("Escape")
    expect(page.get_by_text("it does not run.").first).to_be_visible()
    expect(page.get_by_text("Due times of the next 14 days: 1 gone.")).to_be_visible()
    page.screenshot(path=artefact("edit-closed.png"), full_page=True)
    page.locator(".st-key-edit_save button").click()
    expect(page.get_by_role("heading", name="backup")).to_be_visible()
    saved = world.see(task).spec.schedule
    assert saved.calendars == [f"holidays {HOSTILE}"]  # type: ignore[union-attr]
    expect(page.get_by_text("not on closed days").first).to_be_visible()
    page.screenshot(path=artefact("task-closed.png"), full_page=True)

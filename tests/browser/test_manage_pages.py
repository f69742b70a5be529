"""Workers, the audit, the trash and the settings."""

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.reading import open_page, row, rows, settle
from tests.browser.world import World, now

pytestmark = pytest.mark.xdist_group("browser")


def test_a_worker_is_drained_and_takes_runs_again(page: Page, world: World) -> None:
    worker = world.worker("w1", since=now() - timedelta(hours=2))
    world.worker("gone", since=now() - timedelta(hours=3), stopped_at=now() - timedelta(hours=1))
    open_page(page, "/workers", "Workers")
    expect(row(page, "Workers", "w1")).to_contain_text("Here")
    expect(row(page, "Workers", "gone")).to_contain_text("Stopped")
    page.get_by_role("button", name="Drain: w1").click()
    expect(row(page, "Workers", "w1")).to_contain_text("Drained")
    assert world.is_draining(worker)
    page.get_by_role("button", name="Take runs again: w1").click()
    expect(row(page, "Workers", "w1")).to_contain_text("Here")
    assert not world.is_draining(worker)


def test_the_audit_says_who_did_what_and_what_an_edit_changed(page: Page, world: World) -> None:
    task = world.task("backup")
    world.edit(task, action={"command": "rsync <b>a</b> b"}, retries=3)
    open_page(page, "/audit", "Audit & trash")
    expect(rows(page, "Changes")).to_have_count(2)
    page.get_by_role("button", name="What it changed: backup").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row").filter(has_text="Command")).to_contain_text("rsync <b>a</b> b")
    expect(dialog.get_by_role("row").filter(has_text="Retries")).to_contain_text("3")


def test_the_audit_is_narrowed_in_the_address(page: Page, world: World) -> None:
    kept, deleted = world.task("kept"), world.task("deleted")
    world.delete(deleted)
    open_page(page, "/audit?audit_what=task.deleted", "Audit & trash")
    expect(rows(page, "Changes")).to_have_count(1)
    open_page(page, f"/audit?task={kept}", "Audit & trash")
    expect(row(page, "Changes", "kept")).to_have_count(1)
    expect(row(page, "Changes", "deleted")).to_have_count(0)


def test_a_task_is_restored_from_the_trash(page: Page, world: World) -> None:
    task = world.task("backup")
    world.delete(task)
    open_page(page, "/audit", "Audit & trash")
    page.get_by_role("radio", name="Trash").click()
    expect(row(page, "Trash", "backup")).to_contain_text("anna")
    page.get_by_role("button", name="Restore: backup").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    assert world.see(task).deleted_at is None


@pytest.mark.usefixtures("world")
def test_the_settings_say_what_is_set_and_where_that_is_changed(page: Page) -> None:
    open_page(page, "/settings", "Settings")
    expect(row(page, "This installation", "Your time zone")).to_contain_text("Europe/Berlin")
    expect(row(page, "This installation", "Prefect's page")).to_contain_text("DUETIME_PREFECT_URL")
    expect(row(page, "How long things are kept", "Everything")).to_contain_text("for ever")
    expect(row(page, "Keys", "New task")).to_be_visible()


@pytest.mark.usefixtures("world")
def test_the_menu_leads_to_them(page: Page) -> None:
    open_page(page, "/today", "Today")
    for name in ("Workers", "Audit & trash", "Settings"):
        page.get_by_text("Manage", exact=True).click()
        page.get_by_role("menuitem", name=name).click()
        page.get_by_role("heading", level=1, name=name, exact=True).wait_for()
        settle(page)


def test_keys_search_move_and_make_a_task(page: Page, world: World) -> None:
    for name in ("one", "two"):
        world.task(name)
    open_page(page, "/tasks", "Tasks")
    expect(rows(page, "Tasks")).to_have_count(2)
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="one")).to_be_focused()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="two")).to_be_focused()
    page.keyboard.press("k")
    expect(page.get_by_role("link", name="one")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.get_by_placeholder("Search by name")).to_be_focused()
    page.keyboard.type("n")
    expect(rows(page, "Tasks")).to_have_count(1)
    expect(page.get_by_placeholder("Search by name")).to_have_value("n")
    page.keyboard.press("Tab")
    page.keyboard.press("n")
    page.get_by_role("heading", level=1, name="New task").wait_for()

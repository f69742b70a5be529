"""Many tasks at once, and all of it undone."""

from datetime import timedelta

import pytest
import yaml
from playwright.sync_api import Page, expect

from db.specs import parse_task
from tests.browser.reading import open_page, row, rows, settle
from tests.browser.world import World, now
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("browser")


def choose(page: Page, *names: str) -> None:
    for count, name in enumerate(names, 1):
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).check()
        expect(page.locator(".st-key-bulk_bar")).to_contain_text(f"{count} chosen")


def button(page: Page, name: str) -> None:
    page.locator(".st-key-bulk_bar").get_by_role("button", name=name, exact=True).click()


def result(page: Page, words: str) -> None:
    expect(page.locator(".st-key-bulk_result")).to_contain_text(words, timeout=60_000)


def test_many_are_paused_and_the_pause_is_undone(page: Page, world: World) -> None:
    tasks = [world.task(name) for name in ("one", "two", "three")]
    open_page(page, "/tasks", "Tasks")
    choose(page, "one", "two")
    button(page, "Pause")
    page.get_by_role("dialog").get_by_label("Reason").fill("the disk is full")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    result(page, "Paused: 2 tasks")
    expect(row(page, "Tasks", "one")).to_contain_text("Paused")
    assert [world.see(task).spec.paused for task in tasks] == [True, True, False]
    assert world.see(tasks[0]).pause_reason == "the disk is full"
    page.get_by_role("button", name="Undo").click()
    result(page, "Undo: Paused: 2 tasks")
    assert [world.see(task).spec.paused for task in tasks] == [False, False, False]


def test_resuming_is_undone_with_the_old_reason_and_end(page: Page, world: World) -> None:
    task, until = world.task("backup"), now() + timedelta(days=2)
    world.pause(task, reason="a holiday", until=until)
    open_page(page, "/tasks", "Tasks")
    choose(page, "backup")
    button(page, "Resume")
    result(page, "Resumed: 1 task")
    assert not world.see(task).spec.paused
    page.get_by_role("button", name="Undo").click()
    result(page, "Undo: Resumed: 1 task")
    assert (world.see(task).pause_reason, world.see(task).paused_until) == ("a holiday", until)


def test_tags_are_added_and_removed_and_what_was_edited_meanwhile_is_left_alone(page: Page, world: World) -> None:
    first, second = world.task("first", tags=["old"]), world.task("second", tags=["old", "kept"])
    open_page(page, "/tasks", "Tasks")
    choose(page, "first", "second")
    button(page, "Tag")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Add, with commas between").fill("new, ops")
    dialog.get_by_label("Remove, with commas between").fill("old")
    dialog.get_by_role("button", name="Tag").click()
    result(page, "Tagged: 2 tasks")
    assert world.see(first).spec.tags == ["new", "ops"]
    assert world.see(second).spec.tags == ["kept", "new", "ops"]
    world.edit(second, description="edited meanwhile")
    page.get_by_role("button", name="Undo").click()
    result(page, "Undo: Tagged: 1 task; 1 not")
    expect(page.get_by_text("This task was changed meanwhile")).to_be_visible()
    assert world.see(first).spec.tags == ["old"]
    assert world.see(second).spec.tags == ["kept", "new", "ops"]


def test_all_that_the_filters_leave_are_deleted_and_restored(page: Page, world: World) -> None:
    tasks = [world.task(f"task-{number:02}") for number in range(30)]
    world.task("another")
    open_page(page, "/tasks?q=task-", "Tasks")
    expect(rows(page, "Tasks")).to_have_count(25)
    page.get_by_role("checkbox", name="Choose all on this page").check()
    expect(page.locator(".st-key-bulk_bar")).to_contain_text("25 chosen")
    page.get_by_role("button", name="Choose all: 30 tasks").click()
    expect(page.locator(".st-key-bulk_bar")).to_contain_text("30 chosen")
    button(page, "Delete")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_label("How many").fill("30")
    dialog.get_by_label("How many").press("Tab")
    dialog.get_by_role("button", name="Delete").click()
    result(page, "Deleted: 30 tasks")
    assert all(world.see(task).deleted_at is not None for task in tasks)
    page.get_by_role("button", name="Undo").click()
    result(page, "Undo: Deleted: 30 tasks")
    assert all(world.see(task).deleted_at is None for task in tasks)


def test_chosen_tasks_are_run_and_stay_chosen_over_pages(page: Page, world: World) -> None:
    tasks = {name: world.task(name) for name in ("a-first", *(f"m{number:02}" for number in range(30)), "z-last")}
    open_page(page, "/tasks", "Tasks")
    choose(page, "a-first")
    page.get_by_role("button", name="Next page").click()
    expect(row(page, "Tasks", "z-last")).to_be_visible()
    page.get_by_role("checkbox", name="Choose z-last").check()
    expect(page.locator(".st-key-bulk_bar")).to_contain_text("2 chosen")
    button(page, "Run now")
    result(page, "Started: 2 tasks")
    assert [name for name, task in tasks.items() if world.asked_for(task)] == ["a-first", "z-last"]
    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: not world.asked_for(tasks["a-first"]), "the request is taken back")


def test_what_is_exported_can_be_sent_to_the_api(page: Page, world: World) -> None:
    for name in ("one", "two", "three"):
        world.task(name, tags=["ops"])
    open_page(page, "/tasks", "Tasks")
    choose(page, "one", "two")
    with page.expect_download() as download:
        page.locator(".st-key-bulk_bar").get_by_role("button", name="Export").click()
    documents = yaml.safe_load(download.value.path().read_text())
    assert [parse_task(document).name for document in documents] == ["one", "two"]


def test_the_trash_is_restored_from_the_list(page: Page, world: World) -> None:
    task = world.task("backup")
    world.delete(task)
    open_page(page, "/tasks?state=Deleted", "Tasks")
    choose(page, "backup")
    button(page, "Restore")
    result(page, "Restored: 1 task")
    settle(page)
    assert world.see(task).deleted_at is None

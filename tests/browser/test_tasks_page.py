"""The list of tasks, as people use it."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from dashboard.templates import TEMPLATES
from db import task_views
from db.states import RunState
from tests.browser.reading import open_choices, open_page, row, rows, settle
from tests.browser.world import HOSTILE, World, now
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("browser")


def test_a_task_is_listed_with_its_schedule(page: Page, world: World) -> None:
    world.task("backup")
    open_page(page, "/tasks", "Tasks")
    expect(row(page, "Tasks", "backup")).to_contain_text("Every day at 02:00, Europe/Berlin")


@pytest.mark.usefixtures("world")
def test_an_empty_catalogue_teaches_how_to_begin(page: Page) -> None:
    open_page(page, "/tasks", "Tasks")
    expect(page.get_by_role("heading", name="Nothing is scheduled yet")).to_be_visible()
    page.locator(".st-key-change_http button").click()
    expect(page).to_have_url(re.compile(r"/new\?template=http"))
    expect(page.get_by_label("Name", exact=True)).to_have_value("Ask example.org")


@pytest.mark.parametrize("template", TEMPLATES)
def test_one_click_makes_a_task_that_works(page: Page, world: World, template: str) -> None:
    open_page(page, "/tasks", "Tasks")
    page.locator(f".st-key-template_{template} button").click()
    expect(page.get_by_role("heading", name=TEMPLATES[template].document["name"], level=1)).to_be_visible()
    assert world.do(task_views.count_tasks) == 1


def test_a_row_says_how_the_task_is_and_how_its_runs_went(page: Page, world: World) -> None:
    task = world.task("backup", tags=["ops"])
    for minutes, state in ((30, RunState.COMPLETED), (20, RunState.FAILED)):
        due = now() - timedelta(minutes=minutes)
        run = world.start(task, due_at=due)
        world.end(run, state, at=due + timedelta(seconds=75))
    open_page(page, "/tasks", "Tasks")
    shown = row(page, "Tasks", "backup")
    for text in ("Failed", "50 %", "1 m 15 s", re.compile("2[01] min ago"), "ops"):
        expect(shown).to_contain_text(text)
    expect(shown.get_by_role("img", name="2 recent runs, 1 of them failed")).to_be_visible()


def test_what_prefect_does_not_have_yet_is_said(page: Page, world: World) -> None:
    world.task("new", deployed=False)
    refused = world.task("refused", deployed=False)
    world.refuse(refused, "There is no such work pool.")
    open_page(page, "/tasks", "Tasks")
    expect(row(page, "Tasks", "new")).to_contain_text("Deploying")
    expect(row(page, "Tasks", "refused").get_by_title("There is no such work pool.")).to_have_text("Not deployed")


def test_a_search_narrows_the_list_and_stays_in_the_address(page: Page, world: World) -> None:
    for name in ("ledger-close", "ledger-open", "backup"):
        world.task(name)
    open_page(page, "/tasks", "Tasks")
    page.get_by_placeholder("Search by name").fill("ledger")
    expect(rows(page, "Tasks")).to_have_count(2)
    expect(page).to_have_url(re.compile("q=ledger"))
    page.reload()
    settle(page)
    expect(page.get_by_placeholder("Search by name")).to_have_value("ledger")
    expect(rows(page, "Tasks")).to_have_count(2)


def test_the_newest_runs_come_first_where_asked_for(page: Page, world: World) -> None:
    for name in ("a", "b", "c"):
        task = world.task(name)
        if name != "a":
            world.end(world.start(task))
    open_page(page, "/tasks", "Tasks")
    expect(rows(page, "Tasks").first).to_contain_text("a")
    open_choices(page, page.get_by_role("combobox", name="Order"))
    page.get_by_role("option", name="By last run").click()
    expect(rows(page, "Tasks")).to_contain_text(["c", "b", "a"])
    expect(page).to_have_url(re.compile("order=By\\+last\\+run|order=By%20last%20run"))


def test_states_kinds_and_tags_filter(page: Page, world: World) -> None:
    world.task("shown", tags=["ops"], paused=True)
    world.task("untagged", paused=True)
    world.task("running", tags=["ops"])
    world.task("of-another-kind", tags=["ops"], paused=True, kind="http", action={"url": "https://example.org"})
    open_page(page, "/tasks?kind=shell", "Tasks")
    expect(rows(page, "Tasks")).to_have_count(3)
    page.get_by_role("radio", name="Paused").click()
    expect(rows(page, "Tasks")).to_have_count(2)
    open_choices(page, page.get_by_role("combobox", name="Tag"))
    page.get_by_role("option", name="ops").click()
    expect(rows(page, "Tasks")).to_have_count(1)
    expect(row(page, "Tasks", "shown")).to_be_visible()
    expect(page).to_have_url(re.compile(r"kind=shell.*state=Paused.*tag=ops"))


def test_back_leads_to_the_list_with_its_filters(page: Page, world: World) -> None:
    world.task("ledger-close")
    world.task("backup")
    open_page(page, "/tasks?q=ledger", "Tasks")
    page.get_by_role("link", name="ledger-close").click()
    page.get_by_role("heading", level=1, name="ledger-close").wait_for()
    expect(page).to_have_url(re.compile(r"/task\?id="))
    settle(page)
    page.go_back()
    page.get_by_role("heading", level=1, name="Tasks").wait_for()
    expect(page.get_by_placeholder("Search by name")).to_have_value("ledger")
    expect(rows(page, "Tasks")).to_have_count(1)


def test_pages_follow_each_other_in_the_order_of_names(page: Page, world: World) -> None:
    for number in range(30):
        world.task(f"task-{number:02d}")
    open_page(page, "/tasks", "Tasks")
    expect(page.get_by_text("30 tasks", exact=True)).to_be_visible()
    expect(rows(page, "Tasks")).to_have_count(25)
    page.get_by_role("button", name="Next page").click()
    expect(rows(page, "Tasks")).to_have_count(5)
    expect(rows(page, "Tasks").first).to_contain_text("task-25")
    page.get_by_role("button", name="First page").click()
    expect(rows(page, "Tasks").first).to_contain_text("task-00")


def test_a_task_is_run_paused_and_resumed_where_it_stands(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, "/tasks", "Tasks")
    page.get_by_role("button", name="Run now: backup").click()
    wait_until(lambda: world.asked_for(task), "a run was asked for")
    page.get_by_role("button", name="Pause: backup").click()
    expect(row(page, "Tasks", "backup")).to_contain_text("Paused")
    assert world.see(task).spec.paused
    page.get_by_role("button", name="Resume: backup").click()
    expect(row(page, "Tasks", "backup")).to_contain_text("Scheduled")
    assert not world.see(task).spec.paused


def test_the_trash_is_a_filter_and_gives_tasks_back(page: Page, world: World) -> None:
    task = world.task("backup")
    world.delete(task)
    open_page(page, "/tasks?state=Deleted", "Tasks")
    page.get_by_role("button", name="Restore: backup").click()
    expect(page.get_by_text("No task matches these filters.")).to_be_visible()
    assert world.see(task).deleted_at is None


def test_a_change_appears_without_reloading(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, "/tasks", "Tasks")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    run = world.start(task)
    expect(row(page, "Tasks", "backup")).to_contain_text("Running")
    world.end(run)
    expect(row(page, "Tasks", "backup")).to_contain_text("Completed")
    world.task("another")
    expect(row(page, "Tasks", "another")).to_be_visible()


def test_names_and_tags_are_text_and_nothing_else(page: Page, world: World) -> None:
    world.task(HOSTILE, tags=["<b>bold</b>", "**bold**"])
    open_page(page, "/tasks", "Tasks")
    shown = rows(page, "Tasks").first
    expect(shown.get_by_role("link")).to_have_text(HOSTILE)
    expect(shown).to_contain_text("<b>bold</b>")
    expect(shown.locator("img, b, strong")).to_have_count(0)
    open_choices(page, page.get_by_role("combobox", name="Tag"))
    expect(page.get_by_role("option", name="<b>bold</b>")).to_be_visible()

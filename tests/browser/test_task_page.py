"""The page of one task."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from db.states import RunState
from tests.browser.conftest import PREFECT_URL
from tests.browser.reading import lines, open_page, row, rows, settle
from tests.browser.world import HOSTILE, World, now
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("browser")


def test_it_says_when_the_task_is_due_in_its_own_zone_first(page: Page, world: World) -> None:
    task = world.task("backup", schedule={"kind": "cron", "cron": "30 1 * * *", "timezone": "Asia/Tokyo"})
    open_page(page, f"/task?id={task}", "backup")
    due = page.get_by_role("table", name="Next due times")
    expect(due.get_by_role("columnheader").first).to_have_text("Task time, Asia/Tokyo")
    expect(due.get_by_role("columnheader").nth(1)).to_have_text("Your time, Europe/Berlin")
    expect(rows(page, "Next due times")).to_have_count(8)
    expect(rows(page, "Next due times").first).to_contain_text("01:30")
    expect(rows(page, "Next due times").first.get_by_title(re.compile("16:30:00 UTC"))).to_be_visible()


def test_it_says_what_the_task_does_and_who_changed_it(page: Page, world: World) -> None:
    action = {"command": "pg_dump shop\nls -la", "env": {"PGPASSWORD": "s3cret"}}
    task = world.task("backup", action=action, retries=2)
    open_page(page, f"/task?id={task}", "backup")
    expect(page.get_by_text("pg_dump shop\nls -la")).to_be_visible()
    expect(row(page, "Settings", "Variables")).to_contain_text("PGPASSWORD")
    expect(page.get_by_text("s3cret")).to_have_count(0)
    expect(row(page, "Versions of this task", "created")).to_contain_text("anna")


def test_it_leads_to_the_deployment_in_prefect(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/task?id={task}", "backup")
    link = page.get_by_role("link", name="Open in Prefect")
    expect(link).to_have_attribute("href", f"{PREFECT_URL}/deployments/deployment/{world.see(task).deployment_id}")


def test_run_now_shows_the_run_and_its_output_without_reloading(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/task?id={task}", "backup")
    page.get_by_role("button", name="Run now").click()
    wait_until(lambda: world.asked_for(task), "a run was asked for")
    world.fulfil(task)
    expect(row(page, "Runs of this task", "Scheduled")).to_be_visible(timeout=2_000)
    run = world.start(task)
    expect(row(page, "Runs of this task", "Running")).to_be_visible(timeout=2_000)
    world.say(run, "dumping the shop")
    expect(lines(page)).to_have_text(["dumping the shop"], timeout=2_000)


def test_pausing_asks_why_and_until_when(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/task?id={task}", "backup")
    page.get_by_role("button", name="Pause", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Reason").fill("the disk is **full**")
    dialog.get_by_text("For an hour").click()
    dialog.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused: the disk is **full**, until")).to_be_visible()
    paused = world.see(task)
    assert paused.pause_reason == "the disk is **full**"
    assert paused.paused_until is not None
    assert timedelta(minutes=58) < paused.paused_until - now() < timedelta(minutes=61)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert not world.see(task).spec.paused


def test_a_deletion_is_undone_with_one_click(page: Page, world: World) -> None:
    task = world.task("backup")
    world.task("another")
    open_page(page, f"/task?id={task}", "backup")
    page.locator(".st-key-delete").get_by_role("button").first.click()
    page.get_by_role("heading", level=1, name="Tasks").wait_for()
    expect(page.get_by_text("backup is in the trash.")).to_be_visible()
    expect(row(page, "Tasks", "backup")).to_have_count(0)
    assert world.see(task).deleted_at is not None
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "Tasks", "backup")).to_be_visible()
    assert world.see(task).deleted_at is None


def test_a_deleted_task_can_be_looked_at_and_restored(page: Page, world: World) -> None:
    task = world.task("backup")
    world.delete(task)
    open_page(page, f"/task?id={task}", "backup")
    expect(page.get_by_text("In the trash since")).to_be_visible()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_role("button", name="Run now")).to_be_visible()
    assert world.see(task).deleted_at is None


def test_edit_and_duplicate_lead_to_the_form(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/task?id={task}", "backup")
    page.get_by_role("button", name="Edit").click()
    expect(page).to_have_url(re.compile(rf"/edit\?id={task}"))
    page.go_back()
    page.get_by_role("heading", level=1, name="backup").wait_for()
    settle(page)
    page.get_by_role("button", name="Duplicate").click()
    expect(page).to_have_url(re.compile(rf"/new\?copy={task}"))


def test_what_prefect_refused_is_said_in_full(page: Page, world: World) -> None:
    task = world.task("backup", deployed=False)
    world.refuse(task, "There is no work pool named <b>gpu</b>.")
    open_page(page, f"/task?id={task}", "backup")
    expect(
        page.get_by_text("Prefect does not have this version: There is no work pool named <b>gpu</b>.")
    ).to_be_visible()


def test_the_last_runs_are_summed_up(page: Page, world: World) -> None:
    task = world.task("backup")
    for minutes in range(4):
        due = now() - timedelta(minutes=10 + minutes)
        run = world.start(task, due_at=due, late=timedelta(milliseconds=12))
        world.end(run, RunState.COMPLETED if minutes else RunState.FAILED, at=due + timedelta(seconds=90))
    open_page(page, f"/task?id={task}", "backup")
    expect(page.get_by_role("heading", name="Last 4 runs")).to_be_visible()
    for text in ("75 %", "1 m 29 s", "12 ms"):
        expect(page.get_by_test_id("stMetricValue").get_by_text(text)).to_be_visible()
    bars = page.get_by_role("group", name="How long the last runs took").get_by_role("link")
    expect(bars).to_have_count(4)
    bars.last.click()
    expect(page).to_have_url(re.compile(r"/run\?id="))


def test_a_hostile_name_is_text_and_nothing_else(page: Page, world: World) -> None:
    task = world.task(HOSTILE, description=HOSTILE, tags=[HOSTILE[:100]], action={"command": HOSTILE})
    open_page(page, f"/task?id={task}")
    heading = page.get_by_role("heading", level=1)
    assert heading.inner_text().replace("\u2060", "") == HOSTILE
    main = page.get_by_test_id("stMain")
    expect(main.locator("img, strong, [href*=evil], [href^=javascript]")).to_have_count(0)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("address", ["/task", "/task?id=7", "/task?id=00000000-0000-4000-8000-000000000000"])
def test_an_unknown_task_is_said_to_be_unknown(page: Page, address: str) -> None:
    open_page(page, address, "There is no such task")
    page.get_by_role("link", name="All tasks").click()
    page.get_by_role("heading", level=1, name="Tasks").wait_for()

"""New and Edit in a real browser: written once and wholly, checked while typed, and no edit is lost."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from db import task_views, tasks
from db.engine import Catalogue
from db.runs import Ending, RunKey
from db.specs import as_document, parse_task
from db.states import RunState, Trigger
from tests.browser.conftest import DESKTOP, PHONE, Dashboard, Theme, artefact, start_dashboard, watched_page
from tests.browser.outage import outage
from tests.browser.reading import fits, lines, open_page, rows, settle
from tests.browser.world import HOSTILE, World, now
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("browser")

CONFLICT = "Somebody else saved this task while you were editing"


def field(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name, exact=True)


def save(page: Page) -> None:
    page.locator(".st-key-edit_save button").click()


def choose(page: Page, group: str, option: str) -> None:
    """One of the buttons of a group."""
    page.get_by_role("radiogroup", name=group).get_by_role("radio", name=option, exact=True).click()
    settle(page)


def save_what_is_chosen(page: Page) -> None:
    page.get_by_role("button", name="Save what is chosen").click()


def fill_and_keep(page: Page, name: str, text: str) -> None:
    """Fills a field until the browser has kept its text: what does that starts after the page is drawn."""

    def is_kept() -> bool:
        field(page, name).fill(text)
        return bool(page.evaluate("t => Object.values(sessionStorage).some(kept => kept.includes(t))", text))

    wait_until(is_kept, f"{name} to be kept")


def saved(world: World) -> list[dict[str, Any]]:
    found = world.do(lambda session: task_views.list_tasks(session, now=now()).items)
    return [as_document(task.spec) for task in found]


def change(world: World, task_id: UUID, **changes: Any) -> None:
    """Somebody else saves the task."""
    view = world.see(task_id)
    spec = parse_task({**as_document(view.spec), **changes})
    world.do(lambda s: tasks.replace_task(s, task_id, spec, seen_version=view.version, actor="anna", now=now()))


def test_a_shell_task_with_a_cron_expression_is_created_and_shown(page: Page, world: World) -> None:
    open_page(page, "/new", "New task")
    field(page, "Name").fill("backup")
    field(page, "Command").fill("pg_dump shop |\n  gzip > /backup/shop.gz")
    field(page, "Environment").fill("PGUSER=shop")
    field(page, "Cron expression").fill("*/10 9-17 * * 1-5")
    expect(page.get_by_text("Every 10 minutes, between 09:00 and 17:59, Monday through Friday")).to_be_visible()
    save(page)
    expect(page.get_by_text("Created.")).to_be_visible()
    page.get_by_role("heading", level=1, name="backup").wait_for()
    [document] = saved(world)
    assert document["action"]["command"] == "pg_dump shop |\n  gzip > /backup/shop.gz"
    assert document["action"]["env"] == {"PGUSER": "shop"}
    assert document["schedule"] == {"kind": "cron", "cron": "*/10 9-17 * * 1-5", "timezone": "Europe/Berlin"}


def test_a_wrong_cron_expression_is_named_while_it_is_typed(page: Page, world: World) -> None:
    open_page(page, "/new", "New task")
    cron = field(page, "Cron expression")
    cron.fill("")
    cron.press_sequentially("0 0 31 2 *", delay=15)
    expect(page.get_by_text("This expression never fires")).to_be_visible()
    expect(cron).to_be_focused()
    expect(rows(page, "Next due times")).to_have_count(0)
    cron.fill("0 0 28 2 *")
    expect(page.get_by_text("This expression never fires")).to_have_count(0)
    expect(rows(page, "Next due times")).to_have_count(10)
    assert saved(world) == []


def test_due_times_are_told_in_the_zone_of_the_task_and_of_the_reader(page: Page, world: World) -> None:
    schedule = {"kind": "cron", "cron": "0 20 1 7 *", "timezone": "America/New_York"}
    open_page(page, f"/edit?id={world.task('backup', schedule=schedule)}", "Edit task")
    expect(page.get_by_role("columnheader", name="Due, America/New_York")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Your time, Europe/Berlin")).to_be_visible()
    first = rows(page, "Next due times").first
    expect(first).to_contain_text(f"01 Jul {_next_july()}, 20:00")
    expect(first).to_contain_text("02 Jul, 02:00")


def _next_july() -> int:
    today = datetime.now(UTC)
    return today.year + (today >= datetime(today.year, 7, 2, tzinfo=UTC))


@pytest.mark.parametrize("delay", [0, 30, 120])
def test_a_double_click_creates_one_task_and_leads_to_it(page: Page, world: World, delay: int) -> None:
    open_page(page, "/new", "New task")
    field(page, "Name").fill("backup")
    field(page, "Command").fill("true")
    page.locator(".st-key-edit_save button").dblclick(delay=delay)
    page.get_by_role("heading", level=1, name="backup").wait_for()
    settle(page)
    assert [document["name"] for document in saved(world)] == ["backup"]


def test_a_double_click_saves_an_edit_once_and_the_task_can_be_edited_again(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    field(page, "Command").fill("true")
    page.locator(".st-key-edit_save button").dblclick(delay=30)
    page.get_by_role("heading", level=1, name="backup").wait_for()
    assert world.see(task).version == 2
    settle(page)
    open_page(page, f"/edit?id={task}", "Edit task")
    expect(field(page, "Command")).to_have_value("true")


def test_what_is_missing_is_said_at_its_field_and_nothing_is_saved(page: Page, world: World) -> None:
    open_page(page, "/new", "New task")
    field(page, "Name").fill("typed already")
    save(page)
    expect(page.get_by_text("Not saved yet. Look at: Command.")).to_be_visible()
    expect(page.get_by_text("Write the command that is to be run.")).to_be_visible()
    expect(field(page, "Name")).to_have_value("typed already")
    assert saved(world) == []


def test_a_field_that_was_emptied_is_not_saved_with_what_was_in_it(page: Page, world: World) -> None:
    task = world.task("backup", description="old")
    open_page(page, f"/edit?id={task}", "Edit task")
    field(page, "Description").fill("")
    field(page, "Command").fill("")
    save(page)
    expect(page.get_by_text("Write the command that is to be run.")).to_be_visible()
    field(page, "Command").fill("true")
    save(page)
    page.get_by_role("heading", level=1, name="backup").wait_for()
    document = as_document(world.see(task).spec)
    assert (document["action"]["command"], document["description"]) == ("true", "")


def test_while_the_database_is_away_nothing_typed_is_lost(
    page: Page, world: World, shared_catalogue: Catalogue, postgres_url: str
) -> None:
    open_page(page, "/new", "New task")
    field(page, "Name").fill("backup")
    field(page, "Command").fill("true")
    with outage(shared_catalogue.url, postgres_url):
        save(page)
        expect(page.get_by_text("PostgreSQL does not answer.")).to_be_visible(timeout=15_000)
        expect(field(page, "Command")).to_have_value("true")
    save(page)
    page.get_by_role("heading", level=1, name="backup").wait_for()
    assert [document["name"] for document in saved(world)] == ["backup"]


def test_ctrl_enter_saves_what_has_just_been_typed(page: Page, world: World) -> None:
    open_page(page, "/new", "New task")
    field(page, "Name").fill("backup")
    field(page, "Command").fill("true")
    field(page, "Command").press("Control+Enter")
    page.get_by_role("heading", level=1, name="backup").wait_for()
    assert [document["action"]["command"] for document in saved(world)] == ["true"]


def test_a_click_right_after_typing_saves_what_was_typed_and_leaves(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    field(page, "Cron expression").fill("0 3 * * *")
    save(page)
    page.get_by_role("heading", level=1, name="backup").wait_for()
    assert as_document(world.see(task).spec)["schedule"]["cron"] == "0 3 * * *"


def test_typed_text_survives_other_kinds_schedules_and_changes_elsewhere(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    field(page, "Description").fill("half typed")
    choose(page, "Kind", "HTTP request")
    field(page, "Address").fill("https://example.org/hook")
    choose(page, "Kind", "Shell command")
    expect(field(page, "Command")).to_have_value("echo hello")
    choose(page, "Kind", "HTTP request")
    expect(field(page, "Address")).to_have_value("https://example.org/hook")
    field(page, "Cron expression").fill("5 5 * * *")
    expect(page.get_by_text("Every day at 05:05")).to_be_visible()
    choose(page, "Schedule", "By hand")
    choose(page, "Schedule", "Repeating")
    expect(field(page, "Cron expression")).to_have_value("5 5 * * *")
    world.task("another")
    expect(field(page, "Description")).to_have_value("half typed")
    save(page)
    page.get_by_role("heading", level=1, name="backup").wait_for()
    document = as_document(world.see(task).spec)
    assert (document["kind"], document["description"]) == ("http", "half typed")
    assert document["schedule"]["cron"] == "5 5 * * *"


def test_a_form_that_was_left_starts_afresh(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    field(page, "Description").fill("not meant")
    page.get_by_role("link", name="Back without saving").click()
    page.get_by_role("heading", level=1, name="backup").wait_for()
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("heading", level=1, name="Edit task").wait_for()
    expect(field(page, "Description")).to_have_value("")
    assert world.see(task).version == 1


def test_two_readers_who_edit_the_same_task_lose_nothing(
    browser: Browser, dashboard: Dashboard, page: Page, world: World
) -> None:
    task = world.task("backup", description="as it was")
    with watched_page(browser, dashboard.url) as other:
        open_page(page, f"/edit?id={task}", "Edit task")
        open_page(other, f"/edit?id={task}", "Edit task")
        field(other, "Description").fill("theirs")
        field(other, "Command").fill("echo theirs")
        save(other)
        other.get_by_role("heading", level=1, name="backup").wait_for()
    field(page, "Description").fill("mine")
    field(page, "Name").fill("nightly-backup")
    save(page)
    expect(page.get_by_text(CONFLICT)).to_be_visible()
    expect(field(page, "Description")).to_have_value("mine")
    page.screenshot(path=artefact("edit_conflict_light.png"), full_page=True)
    save_what_is_chosen(page)
    page.get_by_role("heading", level=1, name="nightly-backup").wait_for()
    document = as_document(world.see(task).spec)
    assert (document["name"], document["description"]) == ("nightly-backup", "mine")
    assert document["action"]["command"] == "echo theirs"


def test_in_a_conflict_the_choice_of_the_reader_counts(page: Page, world: World) -> None:
    task = world.task("backup", description="as it was")
    open_page(page, f"/edit?id={task}", "Edit task")
    change(world, task, description="theirs", retries=4)
    field(page, "Description").fill("mine")
    save(page)
    page.locator(".st-key-choice_description").get_by_role("radio", name="Saved").click()
    settle(page)
    save_what_is_chosen(page)
    page.get_by_role("heading", level=1, name="backup").wait_for()
    document = as_document(world.see(task).spec)
    assert (document["description"], document["retries"]) == ("theirs", 4)


def test_hostile_texts_are_shown_as_they_are(page: Page, world: World) -> None:
    task = world.task(HOSTILE, description="plain", tags=["**b**"])
    open_page(page, f"/edit?id={task}", "Edit task")
    change(world, task, description=HOSTILE)
    field(page, "Description").fill(":red[mine]")
    save(page)
    conflict = page.locator(".st-key-conflict")
    expect(conflict.get_by_text(HOSTILE, exact=True)).to_be_visible()
    expect(conflict.get_by_text(":red[mine]", exact=True)).to_be_visible()
    expect(conflict.locator("img, strong:has-text('b'):not(:has-text('Description')), a")).to_have_count(0)
    field(page, "Name").fill("a\u200b**b**")
    save(page)
    expect(page.get_by_text("Use printable characters only").first).to_be_visible()


@pytest.mark.parametrize("theme", get_args(Theme))
def test_the_form_is_readable_in_both_themes_and_on_a_phone(
    browser: Browser, dashboard: Dashboard, world: World, theme: Theme
) -> None:
    task = world.task("nightly-backup", tags=["ops"], description="Before the shop opens.")
    with watched_page(browser, dashboard.url, theme=theme) as page:
        open_page(page, f"/edit?id={task}", "Edit task")
        page.get_by_text("Policies").click()
        expect(page.get_by_text("If the last run is not done")).to_be_visible()
        _look(page, f"edit_{theme}")
        field(page, "Cron expression").fill("61 * * * *")
        expect(page.get_by_text("Not a valid cron expression")).to_be_visible()
        field(page, "Command").fill("")
        save(page)
        expect(page.get_by_text("Look at:")).to_be_visible()
        _look(page, f"edit_invalid_{theme}")
        change(world, task, description="Theirs.")
        field(page, "Command").fill("true")
        field(page, "Cron expression").fill("0 3 * * *")
        save(page)
        expect(page.get_by_text(CONFLICT)).to_be_visible()
        _look(page, f"edit_conflict_{theme}")


def _look(page: Page, name: str) -> None:
    """Pictures at both widths, without a complaint of axe and without a sideways scroll."""
    settle(page)
    page.screenshot(path=artefact(f"{name}.png"), full_page=True)
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], node["html"][:300]) for each in serious for node in each["nodes"]] == []
    page.set_viewport_size(PHONE)
    page.screenshot(path=artefact(f"{name}_phone.png"), full_page=True)
    fits(page)
    page.set_viewport_size(DESKTOP)


def test_the_grid_and_the_expression_follow_each_other(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    page.get_by_text("Choose minutes, hours and days").click()
    page.get_by_role("button", name="Hours 14", exact=True).click()
    expect(field(page, "Cron expression")).to_have_value("0 2,14 * * *")
    expect(page.get_by_text("At 02:00 and 14:00, Europe/Berlin")).to_be_visible()
    field(page, "Cron expression").fill("30 8 * * 1-5")
    expect(page.get_by_role("button", name="Weekdays Mon", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Hours 14", exact=True)).to_have_attribute("aria-pressed", "false")
    field(page, "Cron expression").fill("0 0 L * *")
    expect(page.get_by_text("This expression says more than a grid can show.")).to_be_visible()


def test_what_an_edit_changes_is_said_before_it_is_saved(page: Page, world: World) -> None:
    task = world.task("backup")
    due = now() - timedelta(days=1)
    world.past(
        task, [(RunKey(uuid4(), due), Ending(RunState.COMPLETED, due + timedelta(minutes=4)))], late=timedelta(0)
    )
    open_page(page, f"/edit?id={task}", "Edit task")
    field(page, "Cron expression").fill("*/3 2 * * *")
    expect(page.get_by_text(re.compile(r"Due times of the next 14 days: 2\d\d added"))).to_be_visible()
    expect(page.get_by_text("A run takes up to 4 m 00 s, and it can be due after 3 m 00 s")).to_be_visible()


def test_a_test_run_does_what_is_in_the_form_and_saves_nothing(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    field(page, "Command").fill("echo not saved")
    field(page, "Command").press("Tab")
    page.get_by_role("button", name="Test run").click()
    wait_until(lambda: world.asked_for(task), "a test was asked for")
    assert world.asked_for(task)[0].changed.action.command == "echo not saved"  # type: ignore[union-attr]
    run = world.fulfil(task)
    world.say(run, "not saved")
    expect(lines(page)).to_have_text(["not saved"])
    assert world.see(task).version == 1
    expect(field(page, "Command")).to_have_value("echo not saved")


def test_a_new_task_is_tried_before_it_is_saved(page: Page, world: World) -> None:
    open_page(page, "/new", "New task")
    page.get_by_role("button", name="Test run").click()
    expect(page.get_by_text("Not saved yet. Look at: Name, Command.")).to_be_visible()
    field(page, "Name").fill("backup")
    field(page, "Command").fill("echo not saved")
    field(page, "Command").press("Tab")
    page.get_by_role("button", name="Test run").click()
    [trial] = wait_until(world.trials, "a test was asked for")
    assert (trial.changed.action.command, trial.trigger) == ("echo not saved", Trigger.TEST)  # type: ignore[union-attr]
    run = world.fulfil(trial.task_id)
    world.say(run, "not saved")
    expect(lines(page)).to_have_text(["not saved"])
    expect(lines(page)).to_be_in_viewport()
    page.screenshot(path=artefact("edit-trial.png"))
    save(page)
    page.get_by_role("heading", level=1, name="backup").wait_for()


def test_an_edit_that_makes_it_another_kind_is_tried_as_well(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    choose(page, "Kind", "HTTP request")
    field(page, "Address").fill("http://127.0.0.1:1/")
    field(page, "Address").press("Tab")
    page.get_by_role("button", name="Test run").click()
    [trial] = wait_until(world.trials, "a test was asked for")
    assert trial.task_id != task
    assert trial.changed.kind == "http"  # type: ignore[union-attr]
    assert world.see(task).version == 1


def test_a_reload_brings_back_what_was_typed_and_it_can_be_discarded(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    fill_and_keep(page, "Command", "rsync <b>a</b> b")
    field(page, "Cron expression").fill("30 4 * * *")
    expect(page.get_by_text("Every day at 04:30, Europe/Berlin")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Your unsaved text was brought back.")).to_be_visible()
    expect(field(page, "Command")).to_have_value("rsync <b>a</b> b")
    expect(field(page, "Cron expression")).to_have_value("30 4 * * *")
    page.get_by_role("button", name="Start afresh").click()
    settle(page)
    expect(field(page, "Command")).to_have_value("echo hello")
    expect(page.get_by_text("Your unsaved text was brought back.")).to_have_count(0)
    page.reload()
    settle(page)
    expect(field(page, "Command")).to_have_value("echo hello")


def test_what_is_brought_back_never_undoes_what_somebody_else_saved(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    fill_and_keep(page, "Command", "mine")
    world.edit(task, description="theirs")
    page.reload()
    expect(page.get_by_text("Your unsaved text was brought back.")).to_be_visible()
    save(page)
    expect(page.get_by_text(CONFLICT)).to_be_visible()
    save_what_is_chosen(page)
    page.get_by_role("heading", level=1, name="backup").wait_for()
    assert (world.see(task).spec.description, world.see(task).spec.action.command) == ("theirs", "mine")  # type: ignore[union-attr]


def test_what_was_left_without_saving_is_not_brought_back(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/edit?id={task}", "Edit task")
    field(page, "Command").fill("never mind")
    page.get_by_role("link", name="Back without saving").click()
    page.get_by_role("heading", level=1, name="backup").wait_for()
    settle(page)
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("heading", level=1, name="Edit task").wait_for()
    settle(page)
    expect(field(page, "Command")).to_have_value("echo hello")


def test_a_server_that_starts_again_loses_nothing_of_a_half_filled_form(
    browser: Browser, shared_catalogue: Catalogue, world: World, tmp_path: Path
) -> None:
    task = world.task("backup")
    server = start_dashboard(shared_catalogue.url, tmp_path)
    context = browser.new_context(base_url=server.url, viewport=DESKTOP)
    page = context.new_page()
    open_page(page, f"/edit?id={task}", "Edit task")
    fill_and_keep(page, "Command", "half of")
    fill_and_keep(page, "Description", "not sent yet")
    server.stop()
    again = start_dashboard(shared_catalogue.url, tmp_path, port=int(server.url.rpartition(":")[2]))
    try:
        expect(page.get_by_text("Your unsaved text was brought back.")).to_be_visible(timeout=60_000)
        expect(field(page, "Command")).to_have_value("half of")
        expect(field(page, "Description")).to_have_value("not sent yet")
        save(page)
        page.get_by_role("heading", level=1, name="backup").wait_for()
        assert world.see(task).spec.description == "not sent yet"
    finally:
        context.close()
        again.stop()

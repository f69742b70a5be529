"""The page of one task."""

import re
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from playwright.sync_api import Page, WebSocket, expect

from db import tasks
from db.runs import RunKey
from db.states import After, Outcome, Reason, RunState
from tests.browser.conftest import PREFECT_URL, artefact
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
    expect(row(page, "Runs of this task", "Scheduled")).to_be_visible()
    run = world.start(task)
    expect(row(page, "Runs of this task", "Running")).to_be_visible()
    world.say(run, "dumping the shop")
    expect(lines(page)).to_have_text(["dumping the shop"])


def test_a_double_click_on_run_now_is_one_run(page: Page, world: World) -> None:
    task = world.task("backup")
    world.heartbeats()
    world.worker("w1", since=now())
    open_page(page, f"/task?id={task}", "backup")
    page.get_by_role("button", name="Run now").dblclick()
    expect(page.get_by_text("A run is on its way.").first).to_be_visible()
    settle(page)
    assert len(world.asked_for(task)) == 1


def test_a_run_that_nobody_takes_says_what_it_waits_for_wherever_it_is_seen(page: Page, world: World) -> None:
    world.heartbeats()
    worker, task = world.worker("w1", since=now()), world.task("backup")
    open_page(page, f"/task?id={task}", "backup")
    why = "Nothing takes runs of pool default: its only worker is drained."
    expect(page.get_by_text(why)).to_have_count(0)
    world.drain(worker)
    expect(page.get_by_text(why)).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text(f"A run is asked for, and waits. {why}").first).to_be_visible()
    wait_until(lambda: world.asked_for(task), "a run was asked for")
    run = world.fulfil(task)
    world.beat(worker)
    open_page(page, f"/run?id={run.id}", f"Run {str(run.id)[:8]}")
    expect(page.get_by_text(f"It waits. {why}")).to_be_visible()
    world.beat(worker)
    open_page(page, "/today", "Today")
    expect(page.get_by_role("table", name="Needs attention")).to_contain_text(why)
    expect(page.get_by_text(why).first).to_be_visible()
    open_page(page, "/problems", "Problems")
    expect(row(page, why, "default")).to_contain_text("Work pool")
    world.beat(worker)
    world.drain(worker, on=False)
    expect(page.get_by_text("Nothing needs you. All is well.")).to_be_visible()


def test_while_a_dialog_is_open_nothing_is_drawn_behind_it_and_then_all_at_once(page: Page, world: World) -> None:
    """Drawn again, the part that the dialog was opened from would leave it out, with the click that is on its way."""
    task = world.task("backup")
    asked: list[str | bytes] = []

    def listen(socket: WebSocket) -> None:
        if "_stcore" in socket.url:
            socket.on("framesent", lambda message: asked.append(message))

    page.on("websocket", listen)
    open_page(page, f"/task?id={task}", "backup")
    page.get_by_role("button", name="Pause", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Pause")).to_be_visible()
    settle(page)
    asked.clear()
    world.start(task)
    page.wait_for_timeout(2_500)  # a hint takes one
    assert asked == []
    dialog.get_by_role("button", name="Cancel").click()
    expect(row(page, "Runs of this task", "Running")).to_be_visible()


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
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Duplicate").click()
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
    expect(page.get_by_test_id("stMetricValue")).to_have_text(["75 %", "1 m 29 s", "1 m 29 s"])
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


LEDGER = "Due times and what became of them"
YEARLY = {"kind": "cron", "cron": "0 0 1 1 *", "timezone": "Asia/Tokyo"}
"""So that nothing is due while a test looks."""


def ago(minutes: float) -> datetime:
    return now().replace(microsecond=0) - timedelta(minutes=minutes)


def ran(world: World, task: UUID, due_at: datetime, *, late: timedelta = timedelta(milliseconds=12)) -> RunKey:
    run = world.start(task, due_at=due_at, late=late)
    world.end(run, at=due_at + late + timedelta(seconds=5))
    world.was_due(task, due_at, Outcome.RAN, run=run, late=late)
    return run


def test_the_ledger_says_what_became_of_each_due_time_newest_first_and_why(page: Page, world: World) -> None:
    task = world.task("backup", schedule=YEARLY, max_lateness_seconds=60)
    run = ran(world, task, ago(5), late=timedelta(seconds=42.3))
    world.was_due(task, ago(10), Outcome.MISSED, reason=Reason.LATE, decided=timedelta(minutes=3))
    ran(world, task, ago(15))
    open_page(page, f"/task?id={task}", "backup")
    past = rows(page, LEDGER).filter(has_not_text="Pending")
    expect(past).to_have_count(3)
    expect(past.nth(0)).to_contain_text("Ran late")
    expect(past.nth(0)).to_contain_text("Late by 42.3 s")
    expect(past.nth(1)).to_contain_text("Missed")
    expect(past.nth(1)).to_contain_text(
        "It could only have started 3 min late; at most 60 s are allowed (max_lateness_seconds). "
        "No worker was ever there."
    )
    expect(past.nth(2)).to_contain_text("12 ms")
    expect(past.nth(2).locator(".is-prose.blank")).to_be_visible()
    past.nth(0).get_by_role("link", name=f"Run {str(run.id)[:8]}").click()
    expect(page).to_have_url(re.compile(rf"/run\?id={run.id}"))


def test_the_ledger_tells_times_in_the_tasks_zone_with_the_readers_beside_it(page: Page, world: World) -> None:
    task = world.task("backup", schedule=YEARLY)
    world.was_due(task, ago(24 * 60).replace(hour=0, minute=30, second=0), Outcome.CANCELLED, reason=Reason.CANCELLED)
    open_page(page, f"/task?id={task}", "backup")
    table = page.get_by_role("table", name=LEDGER, exact=True)
    expect(table.get_by_role("columnheader").nth(1)).to_have_text("Task time, Asia/Tokyo")
    expect(table.get_by_role("columnheader").nth(2)).to_have_text("Your time, Europe/Berlin")
    cancelled = row(page, LEDGER, "Cancelled")
    expect(cancelled).to_contain_text("09:30")
    expect(cancelled).to_contain_text(re.compile("0[12]:30"))
    expect(cancelled).to_contain_text("(noticed at 09:30:01 JST)")
    expect(cancelled.get_by_title(re.compile("00:30:00 UTC"))).to_be_visible()


def test_the_ledger_shows_the_next_three_that_are_to_come(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/task?id={task}", "backup")
    expect(row(page, LEDGER, "Pending")).to_have_count(3)
    expect(page.get_by_text("Not due in the last 24 hours.")).to_be_visible()
    world.do(lambda s: tasks.pause_task(s, task, actor="anna", now=now()))
    expect(row(page, LEDGER, "Pending")).to_have_count(0)
    expect(page.get_by_text("It has not been due yet.")).to_be_visible()


def test_the_ledger_counts_the_last_day_by_outcome(page: Page, world: World) -> None:
    task = world.task("backup", schedule=YEARLY)
    for minutes in (5, 10, 15):
        world.was_due(task, ago(minutes), Outcome.SKIPPED, reason=Reason.OVERLAP)
    world.was_due(task, ago(25 * 60), Outcome.SKIPPED, reason=Reason.OVERLAP)
    ran(world, task, ago(20))
    world.was_due(task, ago(1), Outcome.PENDING)
    open_page(page, f"/task?id={task}", "backup")
    counts = page.locator(".st-key-ledger_counts .badge")
    expect(counts).to_have_text(["1 ran", "1 waiting", "3 skipped"])
    expect(rows(page, LEDGER).filter(has_text="Skipped")).to_have_count(4)


def test_the_ledger_changes_without_the_page_being_loaded_again(page: Page, world: World) -> None:
    task = world.task("backup", schedule=YEARLY)
    due_at = ago(1)
    world.was_due(task, due_at, Outcome.PENDING)
    open_page(page, f"/task?id={task}", "backup")
    expect(row(page, LEDGER, "Waiting")).to_contain_text("No worker was ever there.")
    expect(page.get_by_text("Live", exact=True).first).to_be_visible()
    world.settle(task, due_at, Outcome.SKIPPED, Reason.OVERLAP)
    expect(row(page, LEDGER, "Skipped")).to_contain_text("Another run of the task was still going on")
    expect(row(page, LEDGER, "Waiting")).to_have_count(0)


def test_older_due_times_are_a_click_away_and_the_newest_again(page: Page, world: World) -> None:
    task = world.task("backup", schedule=YEARLY)
    for minutes in range(45):
        world.was_due(task, ago(5 + minutes), Outcome.SKIPPED, reason=Reason.SUPERSEDED)
    open_page(page, f"/task?id={task}", "backup")
    skipped = row(page, LEDGER, "Skipped")
    expect(skipped).to_have_count(20)
    expect(row(page, LEDGER, "Pending").first).to_be_visible()
    page.get_by_role("button", name="Older").click()
    expect(row(page, LEDGER, "Pending")).to_have_count(0)
    expect(skipped.first).to_contain_text(re.compile("2[56] min ago"))
    page.get_by_role("button", name="Older").click()
    expect(skipped).to_have_count(5)
    expect(page.get_by_role("button", name="Older")).to_have_count(0)
    page.reload()
    expect(skipped).to_have_count(5)
    page.get_by_role("button", name="Newest").click()
    expect(skipped).to_have_count(20)


def test_a_page_of_the_ledger_that_is_none_is_the_newest_one(page: Page, world: World) -> None:
    task = world.task("backup", schedule=YEARLY)
    world.was_due(task, ago(5), Outcome.SKIPPED, reason=Reason.OVERLAP)
    open_page(page, f"/task?id={task}&due_before=nonsense", "backup")
    expect(row(page, LEDGER, "Skipped")).to_have_count(1)


def test_a_hostile_reason_is_text_and_nothing_else(page: Page, world: World) -> None:
    task = world.task("backup", schedule=YEARLY)
    world.do(lambda s: tasks.pause_task(s, task, reason=HOSTILE, actor="anna", now=now()))
    world.was_due(task, now(), Outcome.SKIPPED, reason=Reason.PAUSED)
    open_page(page, f"/task?id={task}", "backup")
    expect(row(page, LEDGER, "Skipped")).to_contain_text(f"(“{HOSTILE}”)")
    main = page.get_by_test_id("stMain")
    expect(main.locator("img, [href*=evil], [href^=javascript]")).to_have_count(0)


def test_lateness_is_shown_over_time_with_its_objective(page: Page, world: World) -> None:
    task = world.task("backup", max_lateness_seconds=1)
    for minutes, late in ((10, 0.3), (12, 2.5)):
        world.end(world.start(task, due_at=ago(minutes), late=timedelta(seconds=late)))
    open_page(page, f"/task?id={task}", "backup")
    page.get_by_role("radio", name="Lateness").click()
    bars = page.get_by_role("group", name="How late the last runs started")
    expect(bars.get_by_role("link")).to_have_count(2)
    expect(bars).to_contain_text("latest: 2.5 s, objective: 1.0 s")
    expect(page).to_have_url(re.compile("over_time=Lateness"))


def test_a_day_of_the_month_opens_its_due_times(page: Page, world: World) -> None:
    task = world.task("backup", schedule=YEARLY)
    yesterday, before = (now().replace(hour=3, minute=0) - timedelta(days=days) for days in (1, 2))
    world.was_due(task, yesterday, Outcome.MISSED, reason=Reason.LATE)
    ran(world, task, before)
    open_page(page, f"/task?id={task}&month={yesterday:%Y-%m}", "backup")
    page.get_by_role("button", name=f"{yesterday:%a %d %b}: 1 missed").click()
    expect(rows(page, LEDGER)).to_have_count(1)
    expect(rows(page, LEDGER)).to_contain_text("Missed")
    expect(page).to_have_url(re.compile(f"day={yesterday:%Y-%m-%d}"))
    page.get_by_role("button", name=f"Not only {yesterday:%d %b}").click()
    expect(rows(page, LEDGER)).not_to_have_count(1)


def test_a_version_says_what_it_changed_and_can_be_gone_back_to(page: Page, world: World) -> None:
    task = world.task("backup")
    world.edit(task, action={"command": "rsync a b"})
    open_page(page, f"/task?id={task}", "backup")
    page.get_by_role("button", name="What it changed: ben").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row").filter(has_text="Command")).to_contain_text("rsync a b")
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="What it changed: anna").click()
    dialog.get_by_role("button", name="Go back to version 1").click()
    expect(dialog).to_have_count(0)
    assert (world.see(task).version, world.see(task).spec.action.command) == (3, "echo hello")  # type: ignore[union-attr]


def test_a_task_is_copied_as_text(page: Page, world: World) -> None:
    task = world.task("backup")
    open_page(page, f"/task?id={task}", "backup")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Copy as text").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"curl -s {page.url.partition('/task')[0]}/api/tasks")
    dialog.get_by_role("radio", name="YAML", exact=True).click()
    expect(dialog).to_contain_text("command: echo hello")
    dialog.get_by_role("radio", name="prefect.yaml").click()
    expect(dialog).to_contain_text("Prefect has not been told of this task yet.")


def test_a_run_with_changes_leaves_the_task_as_it_is(page: Page, world: World) -> None:
    task = world.task("backup", action={"command": "echo hello", "env": {"KEPT": "1"}})
    open_page(page, f"/task?id={task}", "backup")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Run with changes").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Command").fill("echo changed")
    dialog.get_by_role("textbox", name="Command").press("Tab")
    dialog.get_by_role("button", name="Run", exact=True).click()
    expect(page).to_have_url(re.compile(r"/run\?id="))
    [request] = world.asked_for(task)
    assert request.changed is not None
    assert request.changed.action.command == "echo changed"  # type: ignore[union-attr]
    assert request.changed.action.env == {"KEPT": "1"}  # type: ignore[union-attr]
    made = world.fulfil(task)
    expect(page.get_by_role("heading", level=1, name=f"Run {str(made.id)[:8]}")).to_be_visible()
    expect(page.get_by_text("test run", exact=True)).to_be_visible()
    assert world.see(task).last_run is None


def test_a_task_is_chained_to_another_and_unchained(page: Page, world: World) -> None:
    first, then = world.task(f"first {HOSTILE}"), world.task("then")
    open_page(page, f"/task?id={then}", "then")
    expect(page.get_by_text("It follows no other task, and none follows it.")).to_be_visible()
    page.get_by_role("button", name="Run it after another task").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name of the other task").fill("nobody")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("stToast").get_by_text("nobody")).to_be_visible()
    dialog.get_by_role("textbox", name="Name of the other task").fill(f"first {HOSTILE}")
    dialog.get_by_text("After a failure").click()
    dialog.get_by_role("button", name="Save").click()
    graph = page.get_by_label("Chain of this task")
    expect(graph.get_by_role("link", name="first")).to_be_visible()
    assert [(each.task_id, each.on) for each in world.see(then).spec.after] == [(first, After.FAILED)]
    page.screenshot(path=artefact("task_chain.png"), full_page=True)

    graph.get_by_role("link", name="first").click()
    expect(page.get_by_label("Chain of this task").get_by_role("link", name="then")).to_be_visible()
    page.get_by_role("button", name="Run it after another task").click()
    dialog.get_by_role("textbox", name="Name of the other task").fill("then")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("stToast").get_by_text("This task would follow itself")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()

    page.go_back()
    page.get_by_role("button", name="Not after first").click()
    expect(page.get_by_text("It follows no other task, and none follows it.")).to_be_visible()
    assert world.see(then).spec.after == []

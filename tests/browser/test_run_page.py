"""The page of one run, and its output while it is printed."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from db.states import Level, RunState, Stream
from tests.browser.reading import count, lines, open_page, settle
from tests.browser.world import World, now
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("browser")


def short(run_id: object) -> str:
    return f"Run {str(run_id)[:8]}"


def test_it_says_how_the_run_went(page: Page, world: World) -> None:
    due = now() - timedelta(minutes=5)
    run = world.start(world.task("backup"), due_at=due, late=timedelta(milliseconds=340))
    world.end(run, RunState.FAILED, at=due + timedelta(seconds=65), error="Exit code 1\n<b>disk full</b>")
    open_page(page, f"/run?id={run.id}", short(run.id))
    facts = page.get_by_role("definition")
    for text in ("Failed", "340 ms", "1 m 04 s", "worker-1"):
        expect(facts.filter(has_text=text)).to_be_visible()
    expect(page.get_by_text("<b>disk full</b>")).to_be_visible()


def test_a_line_appears_within_two_seconds_of_being_printed(page: Page, world: World) -> None:
    run = world.start(world.task("backup"))
    world.say(run, "first")
    open_page(page, f"/run?id={run.id}", short(run.id))
    expect(lines(page)).to_have_text(["first"])
    world.say(run, "second <b>bold</b>", stream=Stream.STDERR)
    expect(lines(page)).to_have_text(["first", "second <b>bold</b>"])
    expect(count(page)).to_have_text("2 lines")


def test_a_change_of_state_appears_without_reloading(page: Page, world: World) -> None:
    run = world.start(world.task("backup"))
    open_page(page, f"/run?id={run.id}", short(run.id))
    expect(page.get_by_role("definition").first).to_contain_text("Running")
    world.end(run, RunState.TIMED_OUT, error="It took longer than 3600 s.")
    expect(page.get_by_role("definition").first).to_contain_text("Timed out")
    expect(page.get_by_text("It took longer than 3600 s.")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_the_output_is_searched_and_filtered_by_level(page: Page, world: World) -> None:
    run = world.start(world.task("backup"))
    world.say(run, "copying a", "copying b", "\x1b[32mgreen\x1b[0m")
    world.say(run, "copying c failed", level=Level.ERROR)
    open_page(page, f"/run?id={run.id}", short(run.id))
    expect(lines(page)).to_have_text(["copying a", "copying b", "green", "copying c failed"])
    page.get_by_placeholder("Search the output").fill("COPYING")
    expect(count(page)).to_have_text("3 of 4 lines")
    page.get_by_role("button", name="Error", exact=True).click()
    expect(lines(page)).to_have_text(["copying c failed"])
    world.say(run, "copying d failed", level=Level.ERROR)
    expect(count(page)).to_have_text("2 of 5 lines")


def test_a_flood_of_lines_is_shown_to_its_end_and_downloaded_whole(page: Page, world: World) -> None:
    run = world.start(world.task("backup"))
    open_page(page, f"/run?id={run.id}", short(run.id))
    expect(page.locator(".lines")).to_have_text("Nothing has been printed.")
    world.say(run, "line 0")
    expect(lines(page)).to_have_text(["line 0"])  # so it has begun to listen: who comes later is sent the end only
    for batch in range(10):
        world.say(run, *(f"line {batch * 700 + number}" for number in range(1, 701)))
    expect(lines(page).last).to_have_text("line 7000")
    expect(lines(page).last).to_be_in_viewport()
    expect(count(page)).to_have_text("7001 lines")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    written = download.value.path().read_text().splitlines()
    assert len(written) == 7001
    assert written[0].endswith("line 0")


def test_the_end_is_followed_until_somebody_scrolls_up(page: Page, world: World) -> None:
    run = world.start(world.task("backup"))
    world.say(run, *(f"line {number}" for number in range(200)))
    open_page(page, f"/run?id={run.id}", short(run.id))
    expect(lines(page).last).to_be_in_viewport()
    lines(page).last.hover()
    page.mouse.wheel(0, -1500)
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    world.say(run, "the newest")
    expect(count(page)).to_have_text("201 lines")
    expect(lines(page).last).not_to_be_in_viewport()
    page.get_by_role("button", name="Follow").click()
    expect(lines(page).last).to_be_in_viewport()


def test_a_running_run_is_cancelled(page: Page, world: World) -> None:
    run = world.start(world.task("backup"))
    open_page(page, f"/run?id={run.id}", short(run.id))
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("definition").first).to_contain_text("Cancelling")
    assert world.run(run.id).cancel_requested_at is not None
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()


def test_run_again_leads_to_the_new_run_and_follows_it(page: Page, world: World) -> None:
    task = world.task("backup")
    run = world.start(task)
    world.end(run)
    open_page(page, f"/run?id={run.id}", short(run.id))
    page.get_by_role("button", name="Run again").click()
    wait_until(lambda: world.asked_for(task), "a run was asked for")
    request = world.asked_for(task)[0].id
    expect(page).to_have_url(re.compile(rf"/run\?id={request}"))
    expect(page.get_by_role("definition").first).to_contain_text("Scheduled")
    settle(page)
    made = world.fulfil(task)
    expect(page.get_by_role("heading", level=1, name=short(made.id))).to_be_visible()
    world.say(made, "here we go again")
    expect(lines(page)).to_have_text(["here we go again"])


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("address", ["/run", "/run?id=7", "/run?id=00000000-0000-4000-8000-000000000000"])
def test_an_unknown_run_is_said_to_be_unknown(page: Page, address: str) -> None:
    open_page(page, address, "There is no such run")


def test_it_tells_what_happened_step_by_step_and_leads_to_the_neighbours(page: Page, world: World) -> None:
    task = world.task("backup", action={"command": "rsync <b>a</b> b"})
    runs = [
        world.start(task, due_at=now() - timedelta(minutes=minutes), late=timedelta(seconds=0.2))
        for minutes in (9, 6, 3)
    ]
    world.end(runs[1], at=runs[1].due_at + timedelta(seconds=30))
    open_page(page, f"/run?id={runs[1].id}", short(runs[1].id))
    steps = page.get_by_role("list", name="What happened").get_by_role("listitem")
    expect(steps).to_have_count(3)
    expect(steps.nth(1)).to_contain_text("200 ms")
    expect(steps.nth(2)).to_contain_text("Completed")
    page.get_by_text("What it executed: version 1").click()
    expect(page.get_by_text("rsync <b>a</b> b")).to_be_visible()
    page.get_by_role("link", name="Previous run").click()
    page.get_by_role("heading", level=1, name=short(runs[0].id)).wait_for()
    page.go_back()
    page.get_by_role("heading", level=1, name=short(runs[1].id)).wait_for()
    settle(page)
    page.get_by_role("link", name="Next run").click()
    page.get_by_role("heading", level=1, name=short(runs[2].id)).wait_for()


def test_a_hundred_thousand_lines_are_searched_to_the_first(page: Page, world: World) -> None:
    run = world.start(world.task("backup"))
    world.say(run, "the needle", level=Level.ERROR)
    for batch in range(100):
        world.say(run, *(f"line {batch * 1000 + number}" for number in range(1000)))
    world.end(run)
    open_page(page, f"/run?id={run.id}", short(run.id))
    expect(lines(page).last).to_have_text("line 99999")
    expect(count(page)).to_have_text("5000+ lines")
    page.get_by_placeholder("Search the output").fill("needle")
    expect(count(page)).to_have_text("1 of 100001 lines", timeout=90_000)
    expect(lines(page)).to_have_text(["the needle"])
    page.get_by_placeholder("Search the output").fill("")
    expect(count(page)).to_have_text("100001 lines")
    page.get_by_role("button", name="First error").click()
    expect(page.locator(".found")).to_be_in_viewport()
    expect(page.locator(".found")).to_contain_text("the needle")
    assert page.locator(".lines .line").count() < 3000, "only what is near is in the page"


def test_older_lines_come_when_somebody_scrolls_up(page: Page, world: World) -> None:
    run = world.start(world.task("backup"))
    for batch in range(7):
        world.say(run, *(f"line {batch * 1000 + number}" for number in range(1000)))
    world.end(run)
    open_page(page, f"/run?id={run.id}", short(run.id))
    expect(count(page)).to_have_text("5000+ lines")
    lines(page).last.hover()
    page.mouse.wheel(0, -1_000_000)
    expect(count(page)).to_have_text("7000 lines")

    def at_the_top() -> bool:
        page.mouse.wheel(0, -1_000_000)
        return lines(page).first.inner_text() == "line 0"

    wait_until(at_the_top, "the first line")


def test_colours_of_the_output_are_kept(page: Page, world: World) -> None:
    run = world.start(world.task("backup"))
    world.say(run, "plain \x1b[1;31mred <b>\x1b[0m \x1b[38;2;10;200;30mgreen\x1b[0m\x1b[2K end")
    open_page(page, f"/run?id={run.id}", short(run.id))
    expect(lines(page)).to_have_text(["plain red <b> green end"])
    expect(page.locator(".said .hue-red")).to_have_text("red <b>")
    expect(page.locator(".said .hue-red")).to_have_css("font-weight", "700")
    page.get_by_placeholder("Search the output").fill("red")
    expect(page.locator(".said .hue-red mark")).to_have_text("red")

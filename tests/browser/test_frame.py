"""What all pages share: that they are reachable, readable by everybody, quiet, and robust."""

import time
from datetime import timedelta
from pathlib import Path
from typing import get_args

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from db.engine import Catalogue
from db.states import Level, Outcome, Reason, RunState
from tests.browser.conftest import DESKTOP, PHONE, Dashboard, Theme, artefact, start_dashboard, watched_page
from tests.browser.outage import outage
from tests.browser.reading import fits, open_page, row
from tests.browser.sample import fill
from tests.browser.world import HOSTILE, World, now

pytestmark = pytest.mark.xdist_group("browser")

SERIOUS = ("serious", "critical")


@pytest.mark.parametrize("theme", get_args(Theme))
def test_every_page_is_readable_in_both_themes_and_on_a_phone(
    browser: Browser, dashboard: Dashboard, world: World, theme: Theme
) -> None:
    sample = fill(world)
    pages = {
        **{
            name: f"/{name}"
            for name in ("today", "tasks", "runs", "calendar", "problems", "workers", "audit", "messages", "access")
        },
        "due": "/due?outcome=Skipped",
        "trash": "/audit?audit_shown=Trash",
        "task": f"/task?id={sample.task}",
        "run": f"/run?id={sample.run}",
    }
    with watched_page(browser, dashboard.url, theme=theme) as page:
        for name, path in pages.items():
            page.set_viewport_size(DESKTOP)
            open_page(page, path)
            expect(page.get_by_text("Live", exact=True).first).to_be_visible()
            page.screenshot(path=artefact(f"{name}_{theme}.png"), full_page=True)
            assert _complaints(page) == [], f"{name} in {theme}"
            page.set_viewport_size(PHONE)
            page.screenshot(path=artefact(f"{name}_{theme}_phone.png"), full_page=True)
            fits(page)


def _complaints(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def test_hostile_words_are_words_on_every_page(page: Page, world: World) -> None:
    """What the browser would load or run for them is found by the page's own watch."""
    task = world.task(
        HOSTILE, description=HOSTILE, tags=[HOSTILE[:100]], action={"command": HOSTILE}, work_pool="default"
    )
    other = world.task(HOSTILE[:100], schedule={"kind": "manual"})
    world.delete(other)
    world.was_due(task, now() - timedelta(minutes=7), Outcome.MISSED, reason=Reason.LATE)
    run = world.start(task, due_at=now() - timedelta(minutes=2), late=timedelta(seconds=3))
    world.say(run, HOSTILE, f"\x1b[31m{HOSTILE}\x1b[0m", level=Level.ERROR)
    world.end(run, RunState.FAILED, error=HOSTILE)
    world.worker(HOSTILE, since=now() - timedelta(hours=1))
    world.edit(task, description=f"{HOSTILE} again")
    world.pause(task, reason=HOSTILE)
    going_on = world.start(task)
    places = [
        *(f"/{name}" for name in ("today", "tasks", "runs", "calendar", "problems", "workers", "audit")),
        *("/due?outcome=Late", "/audit?audit_shown=Trash", "/tasks?state=Deleted"),
        *(f"/{name}?id={task}" for name in ("task", "edit")),
        *(f"/run?id={each.id}" for each in (run, going_on)),
    ]
    for place in places:
        open_page(page, place)
        found = page.get_by_test_id("stMain").locator("img, [href*='evil'], [href^='javascript'], script")
        expect(found, place).to_have_count(0)


def test_the_navigation_leads_from_page_to_page(page: Page, world: World) -> None:
    world.task("backup")
    open_page(page, "/tasks", "Tasks")
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("heading", level=1, name="Runs").wait_for()
    page.get_by_role("link", name="Tasks").click()
    page.get_by_role("heading", level=1, name="Tasks").wait_for()
    expect(page.get_by_role("button", name="Deploy")).to_have_count(0)


def test_answers_carry_a_policy_and_streamlits_code_travels_compressed(dashboard: Dashboard) -> None:
    answer = httpx.get(f"{dashboard.url}/tasks", timeout=30)
    policy = answer.headers["content-security-policy"]
    assert "img-src 'self' data:;" in policy
    assert "unsafe-eval" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    script = answer.text.split('src="./')[1].split('"')[0]
    code = httpx.get(f"{dashboard.url}/{script}", headers={"accept-encoding": "gzip"}, timeout=30)
    assert code.headers["content-encoding"] == "gzip"
    assert int(code.headers["content-length"]) < len(code.content) / 2
    assert "immutable" in code.headers["cache-control"]


def test_without_the_database_pages_say_so_and_come_back_by_themselves(
    page: Page, world: World, shared_catalogue: Catalogue, postgres_url: str
) -> None:
    task = world.task("backup")
    open_page(page, "/tasks", "Tasks")
    with outage(shared_catalogue.url, postgres_url):
        expect(page.get_by_text("Reconnecting")).to_be_visible()
        expect(row(page, "Tasks", "backup")).to_be_visible()
        page.goto(f"/task?id={task}")
        expect(page.get_by_text("The database does not answer.").first).to_be_visible(timeout=45_000)
    expect(page.get_by_role("heading", level=1, name="backup")).to_be_visible(timeout=45_000)
    expect(page.get_by_text("The database does not answer.")).to_have_count(0)


def test_it_ends_promptly_while_pages_are_open(
    browser: Browser, world: World, shared_catalogue: Catalogue, tmp_path: Path
) -> None:
    run = world.start(world.task("backup"))
    another = start_dashboard(shared_catalogue.url, tmp_path)
    context = browser.new_context(base_url=another.url)
    page = context.new_page()
    open_page(page, f"/run?id={run.id}", f"Run {str(run.id)[:8]}")
    expect(page.get_by_text("Live", exact=True).first).to_be_visible()
    asked_at = time.monotonic()
    code = another.stop()
    assert time.monotonic() - asked_at < 30
    assert code == 0, another.log.read_text()
    context.close()

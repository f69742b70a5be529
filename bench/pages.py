"""The pages on a full catalogue, in a real browser: first paint, interactions, changes, and what many open pages cost.

    python -m bench.pages --database-url postgresql://... [--times 20] [--open 50] [--json figures.json]

The catalogue is one that `bench.fill` made, best within the last hour. The dashboard is started on it, on a free port
of 127.0.0.1; `/usr/bin/chromium` reads it. It needs the developers' packages (`make dev`). Times are the browser's:
from the click, or from asking for the page, until what was asked for is seen. The exit code is 0 if none is over its
limit.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psutil
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from sqlalchemy import text

from db import tasks
from db.connections import PATIENT
from db.engine import Catalogue
from tests.browser.conftest import CHROMIUM, DESKTOP, FLAGS, start_dashboard

FIRST_PAINT_MS, INTERACTION_MS, CHANGE_MS, CORE_SHARE = 1500, 300, 1000, 0.6
PATIENCE_MS = 15_000
PAGES = {
    "today": ("/today", "table[aria-label='Due next'] tbody tr td"),
    "tasks": ("/tasks", "table[aria-label='Tasks'] tbody tr td"),
    "runs": ("/runs", "table[aria-label='Runs'] tbody tr td"),
    "calendar": ("/calendar", "table[aria-label='Busiest minutes'] tbody tr td"),
    "problems": ("/problems", "[data-testid='stCaptionContainer'] p"),
    "workers": ("/workers", "table[aria-label='Workers'] tbody tr td"),
    "audit": ("/audit", "table[aria-label='Changes'] tbody tr td"),
    "task": ("/task?id={task}", "table[aria-label='Due times and what became of them'] tbody tr td"),
    "edit": ("/edit?id={task}", "table[aria-label='Next due times'] tbody tr td"),
    "new": ("/new", "table[aria-label='Next due times'] tbody tr td"),
    "run": ("/run?id={run}", "ol[aria-label='What happened'] li"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds, or the share of a core, beside what it should not be above."""

    name: str
    p50: float
    p95: float
    limit: float

    @property
    def is_over(self) -> bool:
        return self.p95 > self.limit


def figure(name: str, taken: list[float], limit: float) -> Figure:
    ordered = sorted(taken)
    nearest_rank = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return Figure(name, statistics.median(ordered), nearest_rank, limit)


@dataclass(frozen=True, slots=True)
class Known:
    """What is looked at."""

    task: str
    run: str
    word: str


def learn(catalogue: Catalogue) -> Known:
    """A task that runs each minute, and its newest run."""
    with catalogue.transaction() as session:
        task = session.execute(
            text(
                "SELECT id, name FROM tasks WHERE deleted_at IS NULL AND NOT paused"
                " AND spec -> 'schedule' ->> 'cron' = '* * * * *' ORDER BY name LIMIT 1"
            )
        ).one()
        run = session.execute(
            text("SELECT id FROM runs WHERE task_id = :task ORDER BY due_at DESC LIMIT 1"), {"task": task.id}
        ).scalar_one()
    return Known(str(task.id), str(run), task.name[:6])


def timed(do: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    do()
    return (time.perf_counter() - began) * 1000


@dataclass(frozen=True, slots=True)
class Interaction:
    """Something done on a page, and what is there when its answer is."""

    name: str
    page: str
    act: Callable[[Page], object]
    seen: Callable[[Page], Locator]
    prepare: Callable[[Page], object] | None = None


def _button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def _dialog(page: Page) -> Locator:
    return page.get_by_role("dialog").get_by_role("textbox").first


INTERACTIONS = (
    Interaction(
        "a task is chosen",
        "tasks",
        lambda page: page.locator("table[aria-label='Tasks'] tbody input").first.click(),
        lambda page: page.locator(".st-key-bulk_bar").get_by_text("1 chosen"),
    ),
    Interaction("dialog to pause", "task", lambda page: _button(page, "Pause").click(), _dialog),
    Interaction(
        "dialog to run with changes",
        "task",
        lambda page: page.get_by_role("menuitem", name="Run with changes").click(),
        _dialog,
        lambda page: _button(page, "More").click(),
    ),
    Interaction(
        "lateness of a task",
        "task",
        lambda page: page.get_by_role("radio", name="Lateness").click(),
        lambda page: page.get_by_role("group", name="How late the last runs started"),
    ),
    Interaction(
        "cron expression typed",
        "edit",
        lambda page: page.get_by_role("textbox", name="Cron expression").fill("37 8 29 2 *"),
        lambda page: page.locator("table[aria-label='Next due times']").get_by_text("29 Feb 2028, 08:37"),
    ),
    Interaction(
        "kind chosen in the editor",
        "new",
        lambda page: page.get_by_role("radio", name="HTTP").click(),
        lambda page: page.get_by_role("textbox", name="Address"),
    ),
    Interaction(
        "problems in another state",
        "problems",
        lambda page: page.get_by_role("radio", name="Muted").click(),
        lambda page: page.get_by_text("Nothing is muted."),
    ),
)


class Reader:
    """A page of the browser, and how long it keeps its reader waiting."""

    def __init__(self, page: Page, known: Known) -> None:
        self.page, self._known = page, known

    def open(self, name: str) -> float:
        path, shown = PAGES[name]
        address = path.format(task=self._known.task, run=self._known.run)

        def wait() -> None:
            self.page.goto(address, wait_until="commit")
            self.until_visible(self.page.locator(shown).first)

        return timed(wait)

    def until_visible(self, shown: Locator) -> None:
        """Looks every few milliseconds: Playwright's own wait looks after 20, 70, 170, 270, 370 and then 870 ms."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not shown.is_visible():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{shown} is not there")
            self.page.wait_for_timeout(3)

    def first_row(self, table: str) -> str:
        return self.page.locator(f"table[aria-label='{table}'] tbody tr").first.inner_text()

    def until_another(self, table: str, act: Callable[[], object]) -> float:
        """From the act until the table begins with another row."""
        before = self.first_row(table)

        def wait() -> None:
            act()
            deadline = time.monotonic() + PATIENCE_MS / 1000
            while self.first_row(table) == before:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{table} did not change")
                self.page.wait_for_timeout(5)

        return timed(wait)

    def until_seen(self, interaction: Interaction) -> float:
        if interaction.prepare is not None:
            interaction.prepare(self.page)
        seen = interaction.seen(self.page)
        assert seen.count() == 0, f"{interaction.name}: it is there before"

        def wait() -> None:
            interaction.act(self.page)
            self.until_visible(seen.first)

        taken = timed(wait)
        self.page.evaluate("sessionStorage.clear()")  # or what was typed is brought back the next time
        return taken


def first_paint(reader: Reader, times: int) -> list[Figure]:
    for name in PAGES:
        reader.open(name)
    return [figure(f"open {name}", [reader.open(name) for _ in range(times)], FIRST_PAINT_MS) for name in PAGES]


def interactions(reader: Reader, times: int) -> list[Figure]:
    page = reader.page
    taken: dict[str, list[float]] = {"next page": [], "state": [], "search": [], "older runs": [], "another page": []}
    taken["state of runs"] = []
    taken |= {each.name: [] for each in INTERACTIONS}
    for _ in range(times):
        reader.open("tasks")
        page.wait_for_timeout(1000)
        taken["next page"].append(reader.until_another("Tasks", page.locator(".st-key-next_page button").click))
        taken["state"].append(reader.until_another("Tasks", page.get_by_role("radio", name="Failed").click))
        reader.open("runs")
        page.wait_for_timeout(1000)
        taken["older runs"].append(reader.until_another("Runs", page.locator(".st-key-before_older button").click))
        taken["state of runs"].append(reader.until_another("Runs", page.get_by_role("radio", name="Failed").click))
        taken["another page"].append(timed(lambda: _go(reader, "Tasks")))
        taken["search"].append(_search(reader))
        for each in INTERACTIONS:
            reader.open(each.page)
            page.wait_for_timeout(1000)
            taken[each.name].append(reader.until_seen(each))
    return [figure(name, found, INTERACTION_MS) for name, found in taken.items()]


def _go(reader: Reader, name: str) -> None:
    reader.page.get_by_role("link", name=name, exact=True).click()
    reader.until_visible(reader.page.locator(f"table[aria-label='{name}'] tbody tr td").first)


def _search(reader: Reader) -> float:
    field = reader.page.locator('[class*="st-key-q"] input')
    return reader.until_another("Tasks", lambda: field.fill("zz-nothing-has-this-name"))


def changes(reader: Reader, catalogue: Catalogue, known: Known, times: int) -> Figure:
    """From the commit of a pause or a resume until the task's page says so."""
    reader.open("task")
    reader.page.wait_for_timeout(2000)
    taken = []
    for number in range(times):
        is_pause = number % 2 == 0
        began = time.perf_counter()
        with catalogue.transaction() as session:
            command = tasks.pause_task if is_pause else tasks.resume_task
            command(session, UUID(known.task), actor="bench", now=datetime.now(UTC))
        reader.until_visible(_button(reader.page, "Resume" if is_pause else "Pause"))
        taken.append((time.perf_counter() - began) * 1000)
        reader.page.wait_for_timeout(1500)
    return figure("a change until it is seen", taken, CHANGE_MS)


def many_pages(browser: Browser, url: str, process: psutil.Process, catalogue: Catalogue, count: int) -> Figure:
    """The share of a core that the dashboard needs for so many open pages, with a change each second."""
    names = ["/today", "/tasks", "/runs", "/problems"]
    with ExitStack() as stack:
        for number in range(count):
            context = browser.new_context(base_url=url, viewport=DESKTOP)
            stack.callback(context.close)
            context.new_page().goto(names[number % len(names)])
        time.sleep(20)
        shares = []
        for _ in range(5):
            before, began = process.cpu_times(), time.monotonic()
            for _ in range(6):
                with catalogue.transaction() as session:
                    session.execute(text("SELECT pg_notify('duetime', 'runs tasks')"))
                time.sleep(1)
            after = process.cpu_times()
            shares.append((after.user + after.system - before.user - before.system) / (time.monotonic() - began))
    return figure(f"{count} open pages, share of a core", shares, CORE_SHARE)


def measured(catalogue: Catalogue, *, times: int, pages: int) -> list[Figure]:
    """All of it, against a dashboard of its own."""
    known = learn(catalogue)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        dashboard = start_dashboard(catalogue.url, Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            context = browser.new_context(base_url=dashboard.url, viewport=DESKTOP, timezone_id="Europe/Berlin")
            reader = Reader(context.new_page(), known)
            found = [
                *first_paint(reader, times),
                *interactions(reader, times),
                changes(reader, catalogue, known, times),
            ]
            context.close()
            if pages:
                process = psutil.Process(dashboard.process.pid)
                found.append(many_pages(browser, dashboard.url, process, catalogue, pages))
            return found
        finally:
            dashboard.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--open", type=int, default=50, help="pages at once; 0 leaves that out")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    catalogue = Catalogue(chosen.database_url, application_name="duetime-bench", limits=PATIENT)
    found = measured(catalogue, times=chosen.times, pages=chosen.open)
    for each in found:
        over = "  OVER" if each.is_over else ""
        print(f"{each.name:34} p50 {each.p50:8.2f}  p95 {each.p95:8.2f}  limit {each.limit:g}{over}")
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(each) for each in found], indent=1))
    return int(any(each.is_over for each in found))


if __name__ == "__main__":
    sys.exit(main())

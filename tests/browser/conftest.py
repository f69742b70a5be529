"""The dashboard as a process on a catalogue of its own, and a real browser in front of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    ViewportSize,
    expect,
    sync_playwright,
)

from cli.kept import fernet_key
from db.engine import Catalogue
from tests.browser.world import World
from tests.conftest import FreshDatabase
from tests.system import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "test-artefacts"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
Theme = Literal["light", "dark"]
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
FAILED = pytest.StashKey[bool]()
PREFECT_URL = "http://127.0.0.1:4200"

expect.set_options(timeout=15_000)


@dataclass
class Dashboard:
    """`python -m dashboard`, started."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait(5)


def start_dashboard(database_url: str, folder: Path, *, port: int | None = None) -> Dashboard:
    """Returns when it answers."""
    port = port or free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    environ |= {
        "DUETIME_DATABASE_URL": database_url,
        "DUETIME_PORT": str(port),
        "DUETIME_PREFECT_URL": PREFECT_URL,
        "DUETIME_SECRET_KEYS": fernet_key(),
        "PYTHONPATH": str(ROOT),
    }
    log = folder / "dashboard.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard"], cwd=folder, env=environ, stdout=out, stderr=subprocess.STDOUT
        )
    dashboard = Dashboard(f"http://127.0.0.1:{port}", process, log)
    wait_until(lambda: _answers(dashboard), "the dashboard answers", seconds=240)
    return dashboard


def _answers(dashboard: Dashboard) -> bool:
    assert dashboard.process.poll() is None, dashboard.log.read_text()
    try:
        return httpx.get(f"{dashboard.url}/healthz", timeout=2).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def shared_catalogue(fresh_database: FreshDatabase, migrated: str) -> Iterator[Catalogue]:
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        yield catalogue
        catalogue.close()


@pytest.fixture(scope="session")
def dashboard(shared_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """One for all tests: each of them empties the catalogue behind it."""
    dashboard = start_dashboard(shared_catalogue.url, tmp_path_factory.mktemp("dashboard"))
    yield dashboard
    dashboard.stop()


@pytest.fixture
def world(shared_catalogue: Catalogue) -> World:
    """An empty one."""
    world = World(shared_catalogue)
    world.empty()
    return world


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Not for longer: as long as it is there, an event loop runs in this thread, and no other test could run one."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser, dashboard: Dashboard, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh reader in Berlin. What the browser complains about, and every request elsewhere, fails the test."""
    with watched_page(browser, dashboard.url) as page:
        yield page
        if request.node.stash.get(FAILED, False):
            page.screenshot(path=artefact(f"failed-{request.node.name.replace('/', '')}.png"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes a failure where the page can still be pictured."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@contextmanager
def watched_page(browser: Browser, url: str, *, theme: Theme = "light") -> Iterator[Page]:
    """A page whose complaints are found at the end."""
    context = browser.new_context(
        base_url=url,
        viewport=DESKTOP,
        color_scheme=theme,
        timezone_id="Europe/Berlin",
        locale="en-GB",
        reduced_motion="reduce",
    )
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    _watch_requests(context, url, complaints)
    try:
        yield page
    finally:
        context.close()
    assert not complaints


def _is_complaint(message: ConsoleMessage) -> bool:
    """Not where another network of this machine came or went: the browser then drops all its connections."""
    return message.type == "error" and NETWORK_CHANGED not in message.text


def _watch_requests(context: BrowserContext, url: str, complaints: list[str]) -> None:
    here = (f"{url}/", url.replace("http", "ws", 1), "data:", f"blob:{url}")
    context.on(
        "request",
        lambda request: None if request.url.startswith(here) else complaints.append(f"foreign: {request.url}"),
    )


def artefact(name: str) -> Path:
    """Where a picture of this run is kept."""
    ARTEFACTS.mkdir(exist_ok=True)
    return ARTEFACTS / name

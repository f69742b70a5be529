"""The pictures of the documents: every page in both themes, from the demonstration's data.

`python -m tests.browser.screenshots` draws them anew, `... --only today` some of them.
"""

import argparse
import tempfile
from io import BytesIO
from pathlib import Path
from typing import get_args

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cli.postgres import EmbeddedPostgres
from db.engine import Catalogue
from db.migrate import migrate
from tests.browser.conftest import CHROMIUM, FLAGS, ROOT, Theme, start_dashboard, watched_page
from tests.browser.reading import open_page
from tests.browser.sample import Sample, fill
from tests.browser.world import World

IMAGES = ROOT / "docs" / "images"
COLOURS = 96
"""Enough for a page, and a third of the bytes."""


def pages(sample: Sample) -> dict[str, str]:
    """Each page that is pictured, and its address."""
    return {
        **{
            name: f"/{name}"
            for name in (
                *("today", "tasks", "runs", "calendar", "problems"),
                *("workers", "audit", "messages", "access", "settings"),
            )
        },
        "task": f"/task?id={sample.task}",
        "run": f"/run?id={sample.run}",
        "edit": f"/edit?id={sample.task}",
        "new": "/new",
        "due": "/due?outcome=Late",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="PAGE")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory(prefix="duetime-screenshots-") as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            url = postgres.start()
            migrate(url)
            _draw_all(url, Path(folder), only)
        finally:
            postgres.stop()


def _draw_all(url: str, folder: Path, only: list[str]) -> None:
    catalogue = Catalogue(url)
    sample = fill(World(catalogue))
    dashboard = start_dashboard(url, folder)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for theme in get_args(Theme):
                _draw(browser, dashboard.url, theme, {n: p for n, p in pages(sample).items() if not only or n in only})
    finally:
        dashboard.stop()
        catalogue.close()


def _draw(browser: Browser, url: str, theme: Theme, wanted: dict[str, str]) -> None:
    with watched_page(browser, url, theme=theme) as page:
        for name, path in wanted.items():
            open_page(page, path)
            if name not in ("edit", "new", "settings"):
                expect(page.get_by_text("Live", exact=True).first).to_be_visible()
            page.wait_for_load_state("networkidle")
            _keep(page, IMAGES / (f"{name}.png" if theme == "light" else f"{name}-{theme}.png"))


def _keep(page: Page, path: Path) -> None:
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


if __name__ == "__main__":
    main()

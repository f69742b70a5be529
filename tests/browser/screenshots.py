"""The pictures of the README, from a catalogue made up for them: `python -m tests.browser.screenshots`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from cli.postgres import EmbeddedPostgres
from db.engine import Catalogue
from db.migrate import migrate
from tests.browser.conftest import CHROMIUM, FLAGS, ROOT, start_dashboard, watched_page
from tests.browser.reading import open_page
from tests.browser.sample import Sample, fill
from tests.browser.world import World

IMAGES = ROOT / "docs" / "images"
COLOURS = 128
"""Enough for a page, and a third of the bytes."""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="duetime-screenshots-") as name, _catalogue(Path(name)) as catalogue:
        dashboard = start_dashboard(catalogue.url, Path(name))
        try:
            sample = fill(World(catalogue))
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                with watched_page(browser, dashboard.url) as page:
                    _draw(page, sample)
        finally:
            dashboard.stop()


@contextmanager
def _catalogue(folder: Path) -> Iterator[Catalogue]:
    folder.chmod(0o755)  # as root the server runs as another user
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        url = postgres.start()
        migrate(url)
        catalogue = Catalogue(url)
        yield catalogue
        catalogue.close()
    finally:
        postgres.stop()


def _draw(page: Page, sample: Sample) -> None:
    for name, path in (("tasks", "/tasks"), ("task", f"/task?id={sample.task}"), ("edit", f"/edit?id={sample.task}")):
        open_page(page, path)
        if name != "edit":
            expect(page.get_by_text("Live", exact=True).first).to_be_visible()
        page.wait_for_load_state("networkidle")
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS)
        IMAGES.mkdir(parents=True, exist_ok=True)
        picture.save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()

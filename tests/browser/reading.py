"""How the tests read a page: open it, wait until it is drawn, find the rows of its tables."""

from playwright.sync_api import Error, Locator, Page

DRAWN_MS = 30_000
LOADS = 3


def open_page(page: Page, path: str, title: str | None = None) -> Page:
    """Returns when the page with this title is drawn.

    Only the load is tried again: it fails where another network of this machine comes or goes meanwhile.
    """
    for load in range(LOADS):
        try:
            page.goto(path)
            _heading(page, title).wait_for(timeout=DRAWN_MS)
            return settle(page)
        except Error:
            if load == LOADS - 1:
                raise
    raise AssertionError("unreachable")


def _heading(page: Page, title: str | None) -> Locator:
    if title is None:
        return page.get_by_role("heading", level=1)
    return page.get_by_role("heading", level=1, name=title, exact=True)


def settle(page: Page) -> Page:
    """Returns when the server is connected and no script runs."""
    page.locator('[data-test-connection-state="CONNECTED"]').wait_for(timeout=DRAWN_MS)
    page.locator('[data-test-script-state="notRunning"]').wait_for(timeout=DRAWN_MS)
    return page


def fits(page: Page) -> None:
    """Returns when nothing of the page is beyond its sides."""
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")


def open_choices(page: Page, field: Locator) -> None:
    """Opens the list of a field that chooses. A list closes when the page scrolls, so that comes before."""
    field.scroll_into_view_if_needed()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    field.click()


def rows(page: Page, table: str) -> Locator:
    """The rows of the table with this name."""
    return page.get_by_role("table", name=table, exact=True).locator("tbody tr")


def row(page: Page, table: str, text: str) -> Locator:
    """The row that has this text."""
    return rows(page, table).filter(has_text=text)


def lines(page: Page) -> Locator:
    """What the log shows."""
    return page.locator(".lines .said")


def count(page: Page) -> Locator:
    """How many lines the log says it has."""
    return page.locator(".log .count")

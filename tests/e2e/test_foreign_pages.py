"""Pages of other origins in a real browser on the machine itself: nothing that they try reaches either of our ports."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Request

from tests.foreign_pages import NAMES, PLANTED, Target, chromium, dashboard, prefect, somebody_elses_site
from tests.system import System

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    with somebody_elses_site() as port:
        yield port


@pytest.fixture(params=["dashboard", "prefect"])
def target(system: System, request: pytest.FixtureRequest) -> Target:
    """One of the two ports."""
    return dashboard(system.url) if request.param == "dashboard" else prefect(system.prefect_url.removesuffix("/api"))


def planted(system: System, target: Target) -> int:
    """How many there are now; none any more afterwards."""
    if "flows" in target.path:
        flows = httpx.post(f"{target.origin}/api/flows/filter", json={}, timeout=30).raise_for_status().json()
        found = [f"/api/flows/{flow['id']}" for flow in flows if PLANTED in flow["name"]]
    else:
        found = [f"/api/tasks/{task['id']}" for task in system.api("GET", f"/tasks?search={PLANTED}")["items"]]
    for address in found:
        httpx.delete(target.origin + address, timeout=30).raise_for_status()
    return len(found)


def test_our_own_page_can_do_what_is_tried_here(browser: Browser, system: System, target: Target) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{target.origin}/", wait_until="commit")
        assert target.attacked_from(page)["opened"]
    assert planted(system, target)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_of_another_origin_does_nothing(
    browser: Browser, system: System, target: Target, site: int, name: str
) -> None:
    assert target.attacked_by(browser, f"http://{name}:{site}/") == {"read": "", "opened": False}
    assert planted(system, target) == 0


def test_a_name_that_was_made_to_point_here_does_nothing(browser: Browser, system: System, target: Target) -> None:
    found = target.attacked_by_name(browser)
    assert not found["opened"]
    assert "is not known here" in found["read"]
    assert planted(system, target) == 0


def test_no_other_page_shows_ours_as_its_own(browser: Browser, target: Target, site: int) -> None:
    def is_refused(request: Request) -> bool:
        return request.failure == "net::ERR_BLOCKED_BY_RESPONSE"

    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://localhost:{site}/")
        with page.expect_event("requestfailed", is_refused, timeout=20_000):
            page.evaluate(
                "(address) => { document.body.innerHTML = `<iframe src=${address}></iframe>`; }", target.origin
            )

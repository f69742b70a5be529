"""Pages of other origins in a real browser on the machine itself: nothing that they try reaches either of our ports."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.e2e.test_main_job import shell
from tests.system import System

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(600)]
REBINDING = ["--host-resolver-rules=MAP *.example 127.0.0.1", "--disable-features=LocalNetworkAccessChecks"]
"""Whoever owns a name can make it point to this machine, at once or later; and not every browser asks people then."""
PLANTED = "planted"
KITTENS = "<!doctype html><title>Kittens</title><body>"

# Everything by which a page sends something elsewhere; what it could read of it, and whether a websocket opened.
ATTACK = """
async ({origin, path, body, socket}) => {
  const post = (options) => fetch(origin + path, {method: "POST", ...options}).catch(() => null);
  await post({mode: "no-cors", body: new Blob([body])});
  await post({mode: "no-cors", headers: {"Content-Type": "text/plain"}, body});
  await post({mode: "no-cors", body: new URLSearchParams({body})});
  await post({headers: {"Content-Type": "application/json"}, body});
  navigator.sendBeacon(origin + path, new Blob([body]));
  const frame = document.createElement("iframe");
  frame.name = "frame";
  const form = Object.assign(document.createElement("form"), {
    action: origin + path, method: "post", enctype: "text/plain", target: "frame"});
  const field = Object.assign(document.createElement("input"), {name: body.slice(0, -1) + ', "_": "', value: '"}'});
  form.append(field);
  document.body.append(frame, form);
  await new Promise((done) => { frame.onload = done; form.submit(); setTimeout(done, 3000); });
  const read = await fetch(origin + path).then((answer) => answer.text()).catch(() => "");
  const opened = await new Promise((told) => {
    const opening = new WebSocket(origin.replace("http", "ws") + socket, "prefect");
    opening.onopen = () => told(true);
    opening.onerror = () => told(false);
  });
  return {read, opened};
}
"""


@dataclass(frozen=True)
class Port:
    """One of ours, and what somebody would plant there."""

    origin: str
    path: str
    socket: str
    body: str
    system: System

    def attacked_from(self, page: Page) -> dict[str, Any]:
        return page.evaluate(  # type: ignore[no-any-return]
            ATTACK, {"origin": self.origin, "path": self.path, "socket": self.socket, "body": self.body}
        )

    def planted(self) -> int:
        """How many there are now; none any more afterwards."""
        if "flows" in self.path:
            flows = httpx.post(f"{self.origin}/api/flows/filter", json={}).raise_for_status().json()
            found = [f"/api/flows/{flow['id']}" for flow in flows if PLANTED in flow["name"]]
        else:
            found = [f"/api/tasks/{task['id']}" for task in self.system.api("GET", f"/tasks?search={PLANTED}")["items"]]
        for address in found:
            httpx.delete(self.origin + address).raise_for_status()
        return len(found)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *REBINDING])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """The port of a site of somebody else."""

    class Anything(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(KITTENS.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Anything) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(params=["dashboard", "prefect"])
def port(system: System, request: pytest.FixtureRequest) -> Port:
    if request.param == "dashboard":
        body = {**shell("echo planted", {"kind": "manual"}), "name": PLANTED}
        return Port(system.url, "/api/tasks", "/_stcore/stream", json.dumps(body), system)
    prefect = system.prefect_url.removesuffix("/api")
    return Port(prefect, "/api/flows/", "/api/events/in", json.dumps({"name": PLANTED}), system)


def test_our_own_page_can_do_what_is_tried_here(browser: Browser, port: Port) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{port.origin}/", wait_until="commit")
        assert port.attacked_from(page)["opened"]
    assert port.planted()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_of_another_origin_does_nothing(browser: Browser, port: Port, site: int, name: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://{name}:{site}/")
        assert port.attacked_from(page) == {"read": "", "opened": False}
    assert port.planted() == 0


def test_a_name_that_was_made_to_point_here_does_nothing(browser: Browser, port: Port) -> None:
    rebound = replace(port, origin=port.origin.replace("127.0.0.1", "rebound.example"))
    with browser.new_context() as context:
        page = context.new_page()
        # It came from where the name pointed before.
        page.route("**/kittens", lambda route: route.fulfill(body=KITTENS, content_type="text/html"))
        page.goto(f"{rebound.origin}/kittens")
        found = rebound.attacked_from(page)
        assert not found["opened"]
        assert "is not known here" in found["read"]
    assert port.planted() == 0


def test_no_other_page_shows_ours_as_its_own(browser: Browser, port: Port, site: int) -> None:
    def is_refused(request: Request) -> bool:
        return request.failure == "net::ERR_BLOCKED_BY_RESPONSE"

    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://localhost:{site}/")
        with page.expect_event("requestfailed", is_refused, timeout=20_000):
            page.evaluate("(address) => { document.body.innerHTML = `<iframe src=${address}></iframe>`; }", port.origin)

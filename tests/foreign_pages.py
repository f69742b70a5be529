"""Pages of somebody else in a real browser on the machine itself, and all that they can try at a port of ours."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS

REBINDING = ["--host-resolver-rules=MAP *.example 127.0.0.1", "--disable-features=LocalNetworkAccessChecks"]
"""Whoever owns a name can make it point to this machine, at once or later; and not every browser asks people then."""
NAMES = ("127.0.0.1", "localhost", "evil.example")
"""By which somebody else's site is reached."""
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
class Target:
    """A port of ours, and what somebody would plant there."""

    origin: str
    path: str
    body: str
    socket: str

    def attacked_from(self, page: Page) -> dict[str, Any]:
        """What the page could read, and whether it opened a websocket."""
        given = {"origin": self.origin, "path": self.path, "body": self.body, "socket": self.socket}
        return page.evaluate(ATTACK, given)  # type: ignore[no-any-return]

    def attacked_by_name(self, browser: Browser) -> dict[str, Any]:
        """The same from the page of a name that was made to point here after it was loaded."""
        rebound = replace(self, origin=f"http://rebound.example:{self.origin.rpartition(':')[2]}")
        with browser.new_context() as context:
            page = context.new_page()
            page.route("**/kittens", lambda route: route.fulfill(body=KITTENS, content_type="text/html"))
            page.goto(f"{rebound.origin}/kittens")
            return rebound.attacked_from(page)

    def attacked_by(self, browser: Browser, site: str) -> dict[str, Any]:
        """The same from a page of that site."""
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(site)
            return self.attacked_from(page)


def dashboard(origin: str) -> Target:
    """Where a task would be made."""
    task = {"name": PLANTED, "kind": "shell", "action": {"command": "true"}, "schedule": {"kind": "manual"}}
    return Target(origin, "/api/tasks", json.dumps(task), "/_stcore/stream")


def prefect(origin: str) -> Target:
    """Where a flow would be made."""
    return Target(origin, "/api/flows/", json.dumps({"name": PLANTED}), "/api/events/in")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of somebody who reads such pages."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *REBINDING])
        yield browser
        browser.close()


@contextmanager
def somebody_elses_site() -> Iterator[int]:
    """Its port on this machine."""

    class Kittens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(KITTENS.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Kittens) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()

"""Webhooks whose receivers accept and never answer, and people beside them who still have to be told in time."""

import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar, Self

from tests.faults.disturbances.disturbance import Disturbance, World, victim_name
from tests.faults.disturbances.network.manners import Lose

TOLD_SECONDS = 30.0
"""From a failure to the message: what happens within ten seconds goes out together."""
FAILURES_AT = (4.0, 18.0, 32.0)


class _Inbox(ThreadingHTTPServer):
    """Keeps what it is sent, and when that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Letter)
        self.came: list[tuple[float, str]] = []


class _Letter(BaseHTTPRequestHandler):
    server: _Inbox

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.came.append((time.time(), text))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@dataclass
class SilentWebhooks(Disturbance):
    """Each is told of everything that happens; meanwhile three tasks fail, of which a channel tells."""

    others_go_on: ClassVar[bool] = True
    count: int
    _inbox: _Inbox | None = field(default=None, repr=False, compare=False)
    _paths: list[str] = field(default_factory=list, repr=False, compare=False)
    _failures: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        return cls(FAILURES_AT[-1] + TOLD_SECONDS, luck.randint(1, 4))

    def begin(self, world: World) -> None:
        self._inbox = _Inbox()
        Thread(target=self._inbox.serve_forever, name="inbox", daemon=True).start()
        silent = world.stage.network.proxy(lambda: ("127.0.0.1", 9))
        silent.treat(Lose())
        for number in range(self.count):
            wish = {"name": f"silent {world.lines.name} {number}", "url": f"http://127.0.0.1:{silent.port}/"}
            self._add(world, "/webhooks", wish)
        address = f"json://127.0.0.1:{self._inbox.server_address[1]}/"
        self._add(world, "/channels", {"name": f"people {world.lines.name}", "address": address, "about": ["failed"]})
        for seconds in FAILURES_AT:
            self._fail_at(world, datetime.now(UTC) + timedelta(seconds=seconds))

    def _add(self, world: World, path: str, wish: Mapping[str, object]) -> None:
        self._paths.append(f"{path}/{world.stage.insist('POST', path, wish)['id']}")

    def _fail_at(self, world: World, at: datetime) -> None:
        name = victim_name()
        schedule = {"kind": "once", "at": at.isoformat()}
        world.add_victim(name=name, kind="shell", action={"command": "false"}, schedule=schedule)
        self._failures[name] = at.timestamp()

    def end(self, world: World) -> None:
        for path in self._paths:
            world.stage.insist("DELETE", path)
        if self._inbox is not None:
            self._inbox.shutdown()

    def complaints(self, world: World) -> Iterable[str]:  # noqa: ARG002 - the inbox is here
        assert self._inbox is not None
        for name, failed_at in self._failures.items():
            told_at = next((at for at, text in self._inbox.came if name in json.dumps(json.loads(text))), None)
            yield from _late(name, failed_at, told_at)


def _late(name: str, failed_at: float, told_at: float | None) -> Iterator[str]:
    if told_at is None:
        yield f"nobody was told that {name} failed"
    elif told_at - failed_at > TOLD_SECONDS:
        yield f"people were told that {name} failed after {told_at - failed_at:.0f} s"

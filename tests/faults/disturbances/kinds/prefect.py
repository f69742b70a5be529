"""Prefect's server is slow, or answers what no server should."""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.faults.disturbances.disturbance import Disturbance, World
from tests.faults.disturbances.kinds.network import ToPrefect
from tests.faults.disturbances.network.manners import Answer
from tests.faults.disturbances.stage import CLIENTS_OF_PREFECT
from tests.faults.kills import parts
from tests.faults.kills.plan import Target

SECONDS = (10.0, 20.0)
HEAD = "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
HUGE_BYTES = 30_000_000
JSON, HTML = "application/json", "text/html"


def answer(status: str, body: bytes, kind: str = JSON) -> Answer:
    """A whole answer over HTTP."""
    return Answer(HEAD.format(status=status, kind=kind, length=len(body)).encode() + body)


GARBAGE = (
    Answer(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
    answer("200 OK", b"<html>Sign in to the wireless network</html>", HTML),
    answer("200 OK", b'{"id": '),
    answer("200 OK", b"null"),
    answer("200 OK", b'[{"id": 7, "name": null}, []]'),
    answer("200 OK", b"\xff\xfe\x00{}"),
    answer("204 No Content", b""),
)
REFUSALS = ("500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "429 Too Many Requests")


@dataclass
class Answering(ToPrefect):
    """Somebody answers in Prefect's place."""

    @classmethod
    def errors(cls, luck: random.Random) -> Self:
        body = b'{"exception_message": "Internal Server Error"}'
        return cls(luck.uniform(*SECONDS), CLIENTS_OF_PREFECT, answer(luck.choice(REFUSALS), body))

    @classmethod
    def garbage(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), CLIENTS_OF_PREFECT, luck.choice(GARBAGE))

    @classmethod
    def huge(cls, luck: random.Random) -> Self:
        """Megabytes of numbers, where a few rows are expected."""
        body = b"[" + b"0," * (HUGE_BYTES // 2) + b"0]"
        return cls(luck.uniform(*SECONDS), CLIENTS_OF_PREFECT, answer("200 OK", body))


@dataclass
class SlowServer(Disturbance):
    """Its process is stopped most of the time, as on a machine that has nothing left for it."""

    share: float
    period_seconds: float
    _over: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    _threads: list[threading.Thread] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(25.0, 40.0), luck.uniform(0.05, 0.15), luck.uniform(1.0, 3.0))

    def begin(self, world: World) -> None:
        self._threads.append(threading.Thread(target=self._run, args=(world,), name="slow-prefect", daemon=True))
        self._threads[0].start()

    def end(self, world: World) -> None:  # noqa: ARG002 - the thread lets it go on in the end
        self._over.set()
        for thread in self._threads:
            thread.join(self.period_seconds * 2)

    def _run(self, world: World) -> None:
        targets: Sequence[Target] = (Target.PREFECT,)
        while not self._over.is_set():
            frozen = parts.freeze(world.stage.system, targets)
            self._over.wait(self.period_seconds * (1 - self.share))
            if frozen is not None:
                parts.thaw(frozen[1])
            self._over.wait(self.period_seconds * self.share)

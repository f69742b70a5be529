"""One scenario against one peer."""

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bench import cpu
from bench.arrivals import Arrival, Recorder
from bench.figures import Due, delays, figures, starts
from bench.peers.face import Peer
from bench.prefect_records import Ledger, judged
from bench.scenarios import EverySecond, RunNow, Scenario, Together, broke

SETTLE_SECONDS = 1.0
"""After the last start, until commands have ended and results are written."""
RECORDS_SECONDS = 180
SHORTEST_PAUSE_SECONDS = 0.3
ASKED_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Result:
    peer: str
    scenario: str
    figures: dict[str, Any] | None = None
    why: str = ""
    """Why there are no figures."""

    @property
    def is_whole(self) -> bool:
        """Whether everything was measured and nothing was lost."""
        return self.figures is not None and self.figures["lost"] == 0

    @property
    def broke(self) -> bool:
        return self.figures is None or broke(self.figures["lost"], self.figures["p99"])


@dataclass
class Bench:
    """Where scenarios are measured. `number` makes the names of tasks unique."""

    recorder: Recorder
    number: int = 0

    def measure(self, scenario: Scenario, title: str, peer: Peer) -> Result:
        self.number += 1
        heard = len(self.recorder.heard())
        match scenario:
            case EverySecond():
                due, readings = self._every_second(scenario, peer)
            case Together():
                due, readings = self._together(scenario, peer)
            case RunNow():
                due, readings = self._run_now(scenario, peer)
            case _:
                raise ValueError(f"Nobody knows how to measure {scenario!r}.")
        arrivals = self.recorder.heard()[heard:]
        if isinstance(scenario, RunNow):
            due, arrivals = numbered(due, arrivals)
        found = figures(due, arrivals).document()
        if isinstance(scenario, RunNow):
            found["per_second"] = None  # it would be the pace of the requests
        return Result(title, scenario.name, {**found, **self._accounts(due, arrivals, readings)})

    def _names(self, scenario: Scenario, count: int) -> list[str]:
        word = scenario.name.replace("/", "-")
        return [f"{word}-{self.number}-{n}" for n in range(count)]

    def _every_second(self, scenario: EverySecond, peer: Peer) -> tuple[Due, "Readings"]:
        if scenario.idle:
            peer.idle(scenario.idle)
        works = [self.recorder.work(name, scenario.kind) for name in self._names(scenario, scenario.tasks)]
        since = math.ceil(time.time() + peer.lead_seconds(len(works)))
        until = since + scenario.seconds
        peer.every_second(works, since=since, until=until)
        in_time(since, scenario.name)
        due = {work.task: frozenset(map(float, range(since, until))) for work in works}
        return due, self._observe(peer, due, patience_seconds=scenario.patience_seconds)

    def _together(self, scenario: Together, peer: Peer) -> tuple[Due, "Readings"]:
        works = [self.recorder.work(name, scenario.kind) for name in self._names(scenario, scenario.count)]
        at = math.ceil(time.time() + peer.lead_seconds(len(works)))
        peer.together(works, due=at)
        in_time(at, scenario.name)
        due = {work.task: [float(at)] for work in works}
        return due, self._observe(peer, due, patience_seconds=scenario.patience_seconds)

    def _observe(self, peer: Peer, due: Due, *, patience_seconds: float) -> "Readings":
        """Reads the CPU clocks a second before the first is due, and when all have started or patience has ended."""
        first, last = span(due)
        time.sleep(max(0.0, first - 1 - time.time()))
        before = Readings.begin(peer)
        heard = len(self.recorder.heard())
        expected = sum(map(len, due.values()))

        def all_there(arrivals: list[Arrival]) -> bool:
            return time.time() > last and len(delays(due, arrivals[heard:])) >= expected

        self.recorder.wait(all_there, until=last + patience_seconds)
        return self._settled(peer, before, due)

    def _run_now(self, scenario: RunNow, peer: Peer) -> tuple[Due, "Readings"]:
        work = self.recorder.work(self._names(scenario, 1)[0], scenario.kind)
        peer.prepare(work)
        before = Readings.begin(peer)
        end = time.time() + scenario.patience_seconds
        pauses = random.Random(1)  # noqa: S311 - the same for every peer
        asked: list[float] = []
        heard = len(self.recorder.heard())
        while len(asked) < scenario.count and time.time() < end:
            asked.append(time.time())
            peer.run_now(work)
            self.recorder.wait(beyond(heard + len(asked)), until=asked[-1] + scenario.patience_seconds)
            time.sleep(pauses.uniform(SHORTEST_PAUSE_SECONDS, scenario.longest_pause_seconds))
        due: Due = {work.task: asked}
        return due, self._settled(peer, before, due, lag_seconds=ASKED_SECONDS)

    def _settled(self, peer: Peer, before: "Readings", due: Due, *, lag_seconds: float = 0.1) -> "Readings":
        """A run that somebody asks for is due in Prefect when that is asked, which is later than when the peer is."""
        url = peer.prefect_database()
        if url is None:
            time.sleep(SETTLE_SECONDS)
            return before.end(peer)
        first, last = span(due)
        ledger = Ledger(url, since=first, until=last + lag_seconds)
        started = len(delays(due, self.recorder.heard()))
        complete_at = ledger.wait(expected=started, until=time.time() + RECORDS_SECONDS)
        return before.end(peer, ledger, None if complete_at is None else complete_at - last)

    def _accounts(self, due: Due, arrivals: list[Arrival], readings: "Readings") -> dict[str, Any]:
        begun, _ = starts(due, arrivals)
        used = readings.used_ms(runs=max(1, len(begun)))
        if readings.ledger is None:
            return used
        expected = sum(map(len, due.values()))
        rows = readings.ledger.rows()
        real = [(instant, at) for (_, instant), at in begun.items()]
        records = judged(rows, real, expected=expected, complete_seconds=readings.complete_seconds)
        return {**used, "prefect": records.document()}


@dataclass
class Readings:
    """The CPU clocks before and after, and Prefect's ledger where there is one."""

    parts: cpu.Reading
    busy_seconds: float
    spent: dict[str, float]
    ledger: Ledger | None = None
    complete_seconds: float | None = None

    @classmethod
    def begin(cls, peer: Peer) -> "Readings":
        return cls(cpu.reading(peer.parts()), cpu.busy_seconds(), {})

    def end(self, peer: Peer, ledger: Ledger | None = None, complete_seconds: float | None = None) -> "Readings":
        spent = cpu.spent(self.parts, cpu.reading(peer.parts()))
        busy_seconds = cpu.busy_seconds() - self.busy_seconds
        return Readings(self.parts, busy_seconds, spent, ledger, complete_seconds)

    def used_ms(self, *, runs: int) -> dict[str, Any]:
        """Milliseconds of CPU a run."""
        by_part = {part: round(1000 * seconds / runs, 2) for part, seconds in self.spent.items()}
        return {"cpu_ms": by_part, "machine_cpu_ms": round(1000 * self.busy_seconds / runs, 2)}


class NotInTime(Exception):
    """The tasks were made too late for their due time."""


def in_time(due: float, name: str) -> None:
    if time.time() > due - 1:
        raise NotInTime(f"{name}: its tasks took {time.time() - due:.0f} s too long to make.")


def span(due: Due) -> tuple[float, float]:
    """The first and the last due instant."""
    every = [instant for instants in due.values() for instant in instants]
    return min(every), max(every)


def beyond(count: int) -> Callable[[list[Arrival]], bool]:
    return lambda arrivals: len(arrivals) >= count


def numbered(due: Due, arrivals: Iterable[Arrival]) -> tuple[Due, list[Arrival]]:
    """Of runs asked for one after the other, each waited for: the first start after each request is that request's,
    and what starts besides is a second start of it. Pure."""
    asked = sorted(instant for instants in due.values() for instant in instants)
    found = []
    for arrival in sorted(arrivals, key=lambda each: each.at):
        number = sum(instant <= arrival.at for instant in asked)
        if arrival.task in due and number:
            found.append(Arrival(f"{arrival.task}/{number}", None, arrival.at))
    task = next(iter(due))
    return {f"{task}/{number}": [instant] for number, instant in enumerate(asked, 1)}, found

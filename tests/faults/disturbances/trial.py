"""One trial: some tasks, a calm, a disturbance, and what a system makes of it, all by itself."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.faults.auditing import audit
from tests.faults.console import say
from tests.faults.disturbances.disturbance import Disturbance, Unavailable, World
from tests.faults.disturbances.kinds.registry import KINDS
from tests.faults.disturbances.measuring.busy import BusyLoops
from tests.faults.disturbances.measuring.healing import (
    AT_MOST_WITHOUT_START_SECONDS,
    Healing,
    Pulse,
    healing,
    is_on_time,
    lies,
    longest_without_start,
)
from tests.faults.disturbances.measuring.observer import Observer
from tests.faults.disturbances.measuring.results import Result, gathered
from tests.faults.disturbances.plan import Trial
from tests.faults.disturbances.stage import Stage
from tests.faults.evidence import gather, read_lines, undecided
from tests.faults.tasks import Template, document, every, once
from tests.faults.verdict import Line, judge
from tests.waiting import wait_until

PULSES = (
    Template("pulse-skip", (1,), "skip", "latest", "fail", spread_seconds=0),
    Template("pulse-allow", (1,), "allow", "all", "rerun", spread_seconds=0),
)
TASKS = (
    *PULSES,
    Template("queue", (5,), "queue", "all", "rerun", spread_seconds=1),
    Template("replace", (5,), "replace", "skip", "fail", least_seconds=3, spread_seconds=4),
    Template("retry", (10,), "skip", "all", "fail", retries=2, fails_first=True, spread_seconds=1),
    Template("long", (10,), "allow", "latest", "rerun", least_seconds=4, spread_seconds=6),
    Template("python", (10,), "allow", "latest", "fail", kind="python", spread_seconds=1),
)
ONCE = Template("once", (), "skip", "all", "rerun", spread_seconds=1)
ONCE_COUNT, ONCE_EVERY_SECONDS = 5, 4
CALM_PULSES = 4
"""So many due times in a row start on time before the disturbance, and after it before it counts as healed."""
WELL_SECONDS = 180.0
HEAL_SECONDS = 60.0
NEVER_SECONDS = 120.0
"""What has not healed within this never does."""


def make(stage: Stage, trial: Trial, *, commit: str) -> Result:
    """The result; AssertionError where not even the beginning can be made."""
    began, restarts = time.monotonic(), stage.system.output.count("it is started again")
    disturbance = KINDS[trial.kind](trial.luck())
    what: dict[str, Any] = {"what": str(disturbance)[:300]}
    loops = BusyLoops(stage.logs)
    say(f"{trial.id}: {what['what']}")
    try:
        what |= _Making(stage, trial, disturbance).run()
    except Unavailable as error:
        what["left_out"] = str(error)
    finally:
        stage.calm_down()
    what["busy_loops"] = loops.longest()
    what["restarts"] = stage.system.output.count("it is started again") - restarts
    return Result(trial, commit, took_seconds=time.monotonic() - began, **what)


@dataclass
class _Making:
    stage: Stage
    trial: Trial
    disturbance: Disturbance
    complaints: list[str] = field(default_factory=list)
    world: World = field(init=False)
    observer: Observer = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(self.stage, self.stage.home / f"{self.trial.id}.lines")
        self.observer = Observer(self.stage.system.url)

    def run(self) -> dict[str, Any]:
        self.observer.start()
        try:
            return self._run()
        finally:
            self.observer.stop()
            self.world.remove_all()

    def _run(self) -> dict[str, Any]:
        wait_until(lambda: self.observer.is_ready, "everything to be well before the trial", seconds=WELL_SECONDS)
        begin, begun_at, ended_at = self._disturb()
        healed_at = self._heal(ended_at)
        decided_seconds = self._decide(begin, ended_at)
        until = time.time()
        healed = healing(self._pulses(), self.observer.samples, ended_at=ended_at, until=until)
        self._check(healed, begun_at, ended_at, until, healed=healed_at is not None)
        told = self._judge(begin)
        return {**told, "healing": healed, "decided_seconds": decided_seconds, "complaints": self.complaints}

    # Disturbing.

    def _disturb(self) -> tuple[datetime, float, float]:
        """From when due times count, and when the disturbance began and ended."""
        try:
            if self.disturbance.begins_before_tasks:
                self.disturbance.begin(self.world)
            begin = datetime.now(UTC)
            self._create_tasks()
            if not self.disturbance.begins_before_tasks:
                self._wait_for_calm()
                self.disturbance.begin(self.world)
            begun_at = time.time()
            time.sleep(self.disturbance.seconds)
            self.complaints += self.disturbance.complaints(self.world)
        finally:
            self.disturbance.end(self.world)
        return begin, begun_at, time.time()

    def _create_tasks(self) -> None:
        for template in TASKS:
            self._create(template, template.name, every(template.periods[0]))
        first = datetime.now(UTC) + timedelta(seconds=5)
        for number in range(ONCE_COUNT):
            at = first + timedelta(seconds=ONCE_EVERY_SECONDS * number)
            self._create(ONCE, f"{ONCE.name}-{number}", once(at))

    def _create(self, template: Template, name: str, schedule: dict[str, Any]) -> None:
        task = document(template, self._name(name), schedule, lines=str(self.world.lines), mark="m")
        self.world.task_ids.append(self.stage.insist("POST", "/tasks", task)["id"])

    @property
    def _prefix(self) -> str:
        return f"{self.trial.id}."

    def _name(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _wait_for_calm(self) -> None:
        wait_until(lambda: self._beats_since(0), "the pulses to start on time", seconds=WELL_SECONDS, every=0.5)

    # Healing.

    def _heal(self, ended_at: float) -> float | None:
        """When everything was well again."""
        while time.time() < ended_at + NEVER_SECONDS:
            if self._beats_since(ended_at) and self.observer.is_ready:
                return time.time()
            time.sleep(0.5)
        return None

    def _beats_since(self, begin: float) -> bool:
        """Whether the last few due times of each pulse, all of them later than this, started on time."""
        last = int(time.time() - 1)
        dues = range(last - CALM_PULSES, last)
        return dues[0] > begin and all(is_on_time(pulse, due) for pulse in self._pulses() for due in dues)

    def _pulses(self) -> list[Pulse]:
        lines = self._lines()
        return [_pulse(lines, self._name(template.name)) for template in PULSES]

    def _lines(self) -> list[Line]:
        return [line for line in read_lines(self.world.lines)[0] if line.word == "start"]

    def _decide(self, begin: datetime, ended_at: float) -> float | None:
        """How long it took to decide what had been due by then."""
        end, ids = datetime.fromtimestamp(ended_at, UTC), list(self.world.task_ids)
        with httpx.Client(base_url=f"{self.stage.system.url}/api", timeout=30) as api:
            while time.time() < ended_at + NEVER_SECONDS:
                ids = [one for one in ids if undecided(api, one, begin=begin, end=end)]
                if not ids:
                    return time.time() - ended_at
                time.sleep(0.5)
        return None

    # Judging.

    def _check(self, healing: Healing, begun_at: float, ended_at: float, until: float, *, healed: bool) -> None:
        if not healed:
            why = self.observer.samples[-1].why or "the pulses do not start on time"
            self.complaints.append(f"not well again {NEVER_SECONDS:.0f} s after the end: {why}")
        elif max(healing.first or 0, healing.steady or 0, healing.ready or 0) > HEAL_SECONDS:
            self.complaints.append(f"it took more than {HEAL_SECONDS:.0f} s to heal: {healing}")
        if not self.disturbance.spares_others:
            starts = [line.at for line in self._lines()]
            self.complaints += lies(starts, self.observer.samples, begin=begun_at, until=until)
        if self.disturbance.others_go_on:
            gap = max(longest_without_start(pulse, begin=begun_at, end=ended_at) for pulse in self._pulses())
            if gap > AT_MOST_WITHOUT_START_SECONDS:
                self.complaints.append(f"tasks beside it did not start on time for {gap} s")

    def _judge(self, begin: datetime) -> dict[str, Any]:
        """All due times up to now, when they are decided."""
        end = datetime.now(UTC)
        if self._decide(begin, end.timestamp()) is None:
            self.complaints.append(f"not everything is decided {NEVER_SECONDS:.0f} s after the end")
        with httpx.Client(base_url=f"{self.stage.system.url}/api", timeout=30) as api:
            evidence, torn = gather(api, self.world.lines, begin=begin, end=end, search=self._prefix)
        discrepancies = judge(evidence)
        self.complaints += [f"a line that no command wrote whole: {text!r}" for text in torn]
        audited = audit(self.stage.system, begin, end)
        if audited.exit_code != 0:
            self.complaints.append(f"the audit does not agree: {audited.said[-1000:]}")
        return {
            "due_times": len(evidence.rows),
            "faults": dict(Counter(one.fault for one in discrepancies)),
            "discrepancies": gathered(discrepancies),
        }


def _pulse(lines: list[Line], name: str) -> Pulse:
    starts: dict[int, float] = {}
    for line in lines:
        if line.task == name:
            starts.setdefault(int(line.due_at.timestamp()), line.at)
    return starts

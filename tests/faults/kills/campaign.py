"""A campaign: the whole system as processes, kills and freezes of its parts, and what they left behind."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil

from tests.faults.auditing import audit
from tests.faults.console import say
from tests.faults.evidence import all_tasks, gather, undecided
from tests.faults.kills import parts
from tests.faults.kills.editor import Editor
from tests.faults.kills.plan import Calm, Freeze, Kill, KillEverything, Step, Target, changes, disturbances
from tests.faults.tasks import OURS, PERIODIC, document, every, name_of
from tests.faults.verdict import Discrepancy, Evidence, Fault, judge
from tests.system import System
from tests.waiting import wait_until

EVERYTHING = "everything at once"
RECOVERY_SECONDS = 300
SLOW_START_SECONDS = 300
DECIDED_SECONDS = 600
CALM_BEGINS_SECONDS = 15
"""After a start: what it catches up with is not on time, and nobody said that it would be."""
POLL_SECONDS = 0.2


@dataclass
class Result:
    """What a campaign did and found."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    freezes: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    calms: list[tuple[datetime, datetime]] = field(default_factory=list)
    discrepancies: list[Discrepancy] = field(default_factory=list)
    evidence: Evidence | None = None
    audit: str = ""
    audit_exit_code: int | None = None
    took_seconds: float = 0.0
    decided_after_seconds: float = 0.0

    def fail(self, why: str, fault: Fault = Fault.DISAGREES) -> None:
        """Something that is not about one due time."""
        say(f"! {why}")
        self.discrepancies.append(Discrepancy(fault, "campaign", None, why))


class Campaign:
    """One run of a plan against a running system, whose commands write to the file `lines`."""

    def __init__(self, system: System, lines: Path, *, kills: int, seed: int) -> None:
        self._system, self._lines, self._kills = system, lines, kills
        self._frozen: list[tuple[float, list[psutil.Process]]] = []
        self._ids: dict[str, str] = {}
        self.result = Result(seed)

    def run(self) -> Result:
        """Disturbs everything, waits until every due time is decided, and judges. The system runs on."""
        began = time.monotonic()
        try:
            self._run()
        except AssertionError as error:
            self.result.fail(f"given up: {error}")
        finally:
            self._thaw(everything=True)
            self.result.took_seconds = time.monotonic() - began
        return self.result

    def _run(self) -> None:
        begin = datetime.now(UTC)
        self._create_tasks()
        editor = Editor(self._system.url, changes(self.result.seed), ids=self._ids, lines=str(self._lines))
        editor.start()
        for step in disturbances(self.result.seed, self._kills):
            self._take(step)
        editor.stop()
        self._thaw(everything=True)
        self._recover()
        self.result.changes = editor.answers
        end = max(datetime.now(UTC), editor.last_once_at) + timedelta(seconds=1)
        self._conclude(editor, begin, end)

    def _create_tasks(self) -> None:
        for template in PERIODIC:
            task = document(
                template, name_of(template.name), every(template.periods[0]), lines=str(self._lines), mark="m0"
            )
            self._ids[template.name] = self._system.api("POST", "/tasks", task)["id"]

    # Disturbing.

    def _take(self, step: Step) -> None:
        self._let_pass(step.wait_seconds)
        match step.action:
            case Kill(targets):
                self._kill(targets)
            case KillEverything(down_seconds):
                self._kill_everything(down_seconds)
            case Freeze(targets, seconds):
                if (frozen := parts.freeze(self._system, targets)) is not None:
                    target, processes = frozen
                    self._frozen.append((time.monotonic() + seconds, processes))
                    self._note(self.result.freezes, target, f"stop {target} for {seconds:.0f} s")
            case Calm(seconds):
                self._calm(seconds)

    def _kill(self, targets: tuple[Target, ...]) -> None:
        """One that lives is there at the latest when the supervisor's longest pause is over."""
        killed = wait_until(lambda: parts.kill(self._system, targets), "a part that lives", seconds=60)
        self._note(self.result.kills, str(killed), f"kill {killed}")

    def _kill_everything(self, down_seconds: float) -> None:
        self._note(self.result.kills, EVERYTHING, f"kill everything, start after {down_seconds:.0f} s")
        self._check_supervisor()
        self._system.kill_everything()
        self._frozen.clear()
        self._let_pass(down_seconds)
        self._start()

    def _start(self) -> None:
        """A start that takes too long is a fault, and the campaign goes on when it comes to its end all the same."""
        began = time.monotonic()
        try:
            self._system.start()
        except AssertionError as error:
            self.result.fail(f"the system did not start: {error}; it said: {self._system.output[-2000:]}")
            self._check_supervisor()
            wait_until(lambda: "duetime ready: " in self._system.output, "the ready line", seconds=SLOW_START_SECONDS)
        say(f"ready after {time.monotonic() - began:.0f} s")

    def _calm(self, seconds: float) -> None:
        self._let_pass(min(CALM_BEGINS_SECONDS, seconds))
        from_at = datetime.now(UTC)
        self._let_pass(seconds - CALM_BEGINS_SECONDS)
        self.result.calms.append((from_at, datetime.now(UTC)))

    def _note(self, counter: Counter[str], what: str, text: str) -> None:
        counter[str(what)] += 1
        say(f"[{self.result.kills.total():3}/{self._kills}] {text}")

    def _let_pass(self, seconds: float) -> None:
        """Wakes who has been stopped for long enough meanwhile."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            self._thaw()
            time.sleep(min(rest, POLL_SECONDS))
        self._thaw()

    def _thaw(self, *, everything: bool = False) -> None:
        present = time.monotonic()
        for until, processes in self._frozen:
            if everything or until <= present:
                parts.thaw(processes)
        self._frozen = [] if everything else [one for one in self._frozen if one[0] > present]

    def _check_supervisor(self) -> None:
        assert self._system.process is not None
        if (code := self._system.process.poll()) is not None:
            self.result.fail(f"`duetime up` ended by itself with {code}: {self._system.output[-2000:]}")

    # Concluding.

    def _recover(self) -> None:
        self._check_supervisor()
        wait_until(self._is_ready, "that everything is well again", seconds=RECOVERY_SECONDS, every=0.5)
        say("everything is well again")

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self._system.url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _conclude(self, editor: Editor, begin: datetime, end: datetime) -> None:
        if editor.broken:
            self.result.fail(f"the editor broke: {editor.broken}")
        with httpx.Client(base_url=f"{self._system.url}/api", timeout=30) as api:
            self._wait_until_decided(api, begin, end)
            evidence, torn = gather(api, self._lines, begin=begin, end=end, search=OURS)
        self.result.evidence = evidence
        self.result.discrepancies += judge(evidence)
        for text in torn:
            self.result.fail(f"a line that no command wrote whole: {text!r}")
        for name in sorted(editor.acknowledged - evidence.tasks.keys()):
            self.result.fail(f"task {name} was acknowledged and is not there", Fault.UNACCOUNTED)
        self._audit(begin, end)

    def _wait_until_decided(self, api: httpx.Client, begin: datetime, end: datetime) -> None:
        """Up to three minutes; what is open then is for the verdict to tell."""
        self._let_pass((end - datetime.now(UTC)).total_seconds())
        ended = time.monotonic()
        ids = [task["id"] for task in all_tasks(api, search=OURS).values()]
        while ids and time.monotonic() < ended + DECIDED_SECONDS:
            ids = [one for one in ids if undecided(api, one, begin=begin, end=end)]
            self._let_pass(1.0 if ids else 0.0)
        self.result.decided_after_seconds = time.monotonic() - ended
        decided = "not everything is decided" if ids else "everything is decided"
        say(f"{decided}, {self.result.decided_after_seconds:.0f} s later")

    def _audit(self, begin: datetime, end: datetime) -> None:
        """The command has to come to the same number of due times, and find nothing either."""
        assert self.result.evidence is not None
        done, count = audit(self._system, begin, end), len(self.result.evidence.rows)
        self.result.audit_exit_code, self.result.audit = done.exit_code, done.summary
        say(f"audit: exit code {done.exit_code}: {done.said}")
        if done.exit_code != 0 or done.summary != f"{count} due times, {count} accounted for":
            self.result.fail(f"the audit does not agree: {count} were found; it says {done.said[-2000:]}")

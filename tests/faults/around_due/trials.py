"""Changes sent around a due time, against the real system: the order of the commits decides, see order_of_commits."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.faults.around_due.order_of_commits import Operation, Seen, Trial, contradictions, trials
from tests.faults.evidence import read_lines
from tests.faults.tasks import Template, document, once, with_mark
from tests.faults.verdict import Line
from tests.system import System
from tests.waiting import wait_until

TEMPLATE = Template("around", (), "skip", "latest", "fail", spread_seconds=0)
LATER = timedelta(days=30)
LOOK_AFTER_SECONDS = 6.0
"""After the due time and the change: what would be executed wrongly has been by then."""
DECIDED_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trial ended."""

    trial: Trial
    seen: Seen
    wrong: list[str]

    @property
    def ending(self) -> str:
        """`ran, version 2`, `skipped`, `no row`."""
        if self.seen.outcome == "ran":
            return f"ran, version {self.seen.version}"
        return self.seen.outcome or "no row"


def run_trials(system: System, lines: Path, *, seed: int, of_each: int, at_once: int) -> list[Verdict]:
    """All of them, so many at a time."""
    with (
        httpx.Client(base_url=f"{system.url}/api", timeout=30) as api,
        ThreadPoolExecutor(at_once, "trial") as pool,
    ):
        return list(pool.map(lambda trial: _Try(api, lines, trial).run(), trials(seed, of_each)))


class _Try:
    """One trial as it is made."""

    def __init__(self, api: httpx.Client, lines: Path, trial: Trial) -> None:
        self._api, self._lines, self._trial = api, lines, trial
        self._name = f"around-{trial.number}"

    def run(self) -> Verdict:
        due_at = datetime.now(UTC) + timedelta(seconds=self._trial.ahead_seconds)
        due_at = due_at.replace(microsecond=0) if self._trial.by_cron else due_at
        task = self._created(due_at)
        _until(due_at + timedelta(seconds=self._trial.offset_seconds))
        self._change(task)
        answered_at = datetime.now(UTC)
        _until(max(due_at, answered_at) + timedelta(seconds=LOOK_AFTER_SECONDS))
        seen = self._look(task["id"], due_at, answered_at)
        return Verdict(self._trial, seen, contradictions(self._trial.operation, seen))

    def _created(self, due_at: datetime) -> dict[str, Any]:
        schedule = at_instant(due_at) if self._trial.by_cron else once(due_at)
        task = document(TEMPLATE, self._name, schedule, lines=str(self._lines), mark="m1")
        task["paused"] = self._trial.operation is Operation.RESUME
        return self._api.post("/tasks", json=task).raise_for_status().json()  # type: ignore[no-any-return]

    def _change(self, task: dict[str, Any]) -> None:
        path = f"/tasks/{task['id']}"
        match self._trial.operation:
            case Operation.PAUSE:
                answer = self._api.post(f"{path}/pause", json={"reason": "tried"})
            case Operation.RESUME:
                answer = self._api.post(f"{path}/resume", json={"missed": "none"})
            case Operation.DELETE:
                answer = self._api.delete(path)
            case _:
                answer = self._api.put(path, json=self._edited(task), headers={"If-Match": '"1"'})
        answer.raise_for_status()

    def _edited(self, task: dict[str, Any]) -> dict[str, Any]:
        edited: dict[str, Any] = with_mark(task, "m2")
        if self._trial.operation is Operation.SCHEDULE:
            later = datetime.now(UTC) + LATER
            edited["schedule"] = at_instant(later) if self._trial.by_cron else once(later)
        return edited

    def _look(self, task_id: str, due_at: datetime, answered_at: datetime) -> Seen:
        changed_at = self._changed_at(task_id)
        row: dict[str, Any] = wait_until(
            lambda: self._decided(task_id, due_at), "the decision", seconds=DECIDED_SECONDS, every=0.5
        )
        starts = [one for one in read_lines(self._lines)[0] if (one.task, one.word) == (self._name, "start")]
        return Seen(
            due_at=due_at,
            changed_at=changed_at,
            answered_at=answered_at,
            outcome=row.get("outcome"),
            reason=row.get("reason"),
            version=row.get("task_version"),
            started_at=self._started_at(row.get("run_id")),
            marks=tuple(line.mark for line in starts),
            begun_at=_begun_at(starts),
        )

    def _changed_at(self, task_id: str) -> datetime:
        newest = self._api.get(f"/tasks/{task_id}/revisions").raise_for_status().json()["items"][0]
        assert newest["version"] == 2, newest
        return datetime.fromisoformat(newest["at"])

    def _decided(self, task_id: str, due_at: datetime) -> dict[str, Any]:
        """The row; one without an outcome where there is none, and nothing while it is open."""
        window = {"from": due_at.isoformat(), "to": (due_at + timedelta(microseconds=1)).isoformat()}
        items = self._api.get(f"/tasks/{task_id}/due-times", params=window).raise_for_status().json()["items"]
        if not items:
            return {"outcome": None}
        return items[0] if items[0]["outcome"] not in ("pending", "running") else {}

    def _started_at(self, run_id: str | None) -> datetime | None:
        if run_id is None:
            return None
        return datetime.fromisoformat(self._api.get(f"/runs/{run_id}").raise_for_status().json()["started_at"])


def at_instant(instant: datetime) -> dict[str, Any]:
    """A cron of six fields, the seconds last, that is due then and a year later."""
    cron = f"{instant.minute} {instant.hour} {instant.day} {instant.month} * {instant.second}"
    return {"kind": "cron", "cron": cron, "timezone": "UTC"}


def _begun_at(starts: list[Line]) -> datetime | None:
    return datetime.fromtimestamp(min(line.at for line in starts), UTC) if starts else None


def _until(instant: datetime) -> None:
    time.sleep(max((instant - datetime.now(UTC)).total_seconds(), 0))


def tell(verdicts: list[Verdict], write: Callable[[str], object]) -> None:
    """A table of what became of the trials, and everything that was wrong."""
    for operation in Operation:
        mine = [one for one in verdicts if one.trial.operation is operation]
        endings = Counter(one.ending for one in mine)
        counted = ", ".join(f"{ending} {count}" for ending, count in sorted(endings.items()))
        write(f"| {operation} | {len(mine)} | {counted} | **{sum(bool(one.wrong) for one in mine)}** |\n")
    for one in verdicts:
        for why in one.wrong:
            write(f"around-{one.trial.number} {one.trial.operation}: {why}\n    {one.trial}\n    {one.seen}\n")

"""What each worker executed, and when: a lane for each, a bar for each run. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.badges import run_badge
from dashboard.moments import in_full, span
from db.tables import Run

WINDOWS = {"10 min": timedelta(minutes=10), "30 min": timedelta(minutes=30), "2 h": timedelta(hours=2)}
MOST = 500
TICKS = 5
ELSEWHERE = "Prefect's own"


@dataclass(frozen=True, slots=True)
class Window:
    """From an instant to another, the later of which is now."""

    begin: datetime
    end: datetime

    def share(self, at: datetime) -> float:
        """Where in the window an instant is, within 0 and 1."""
        return min(1.0, max(0.0, (at - self.begin) / (self.end - self.begin)))


def chart(runs: Sequence[Run], window: Window, zone: str) -> dict[str, Any]:
    """The lanes by name, their bars in the order of time."""
    lanes: dict[str, list[dict[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: run.started_at or run.due_at):
        if (run.ended_at or window.end) >= window.begin:
            lanes.setdefault(run.worker or ELSEWHERE, []).append(_bar(run, window, zone))
    return {"lanes": [{"name": name, "bars": lanes[name]} for name in sorted(lanes)], "ticks": _ticks(window, zone)}


def _bar(run: Run, window: Window, zone: str) -> dict[str, Any]:
    assert run.started_at is not None
    begin, end = window.share(run.started_at), window.share(run.ended_at or window.end)
    badge = run_badge(run.state)
    took = span(((run.ended_at or window.end) - run.started_at).total_seconds())
    return {
        "id": str(run.id),
        "href": f"run?id={run.id}",
        "tone": badge.tone,
        "begin": begin,
        "width": end - begin,
        "title": f"{run.task_name}\n{badge.word}, {took}\n{in_full(run.started_at, zone)}",
    }


def _ticks(window: Window, zone: str) -> list[dict[str, Any]]:
    step = (window.end - window.begin) / TICKS
    instants = [window.begin + number * step for number in range(TICKS + 1)]
    return [{"at": window.share(at), "word": f"{at.astimezone(ZoneInfo(zone)):%H:%M}"} for at in instants]

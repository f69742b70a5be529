"""Runs as rows of a grid, and as the bars that show how the last ones went. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from dashboard.badges import run_badge
from dashboard.components import Column
from dashboard.moments import in_full, moment, span, took
from db.tables import Run

TRIGGERS = {
    "schedule": "by schedule",
    "manual": "started by hand",
    "catch_up": "caught up",
    "test": "test run",
    "rerun": "run again",
    "chain": "after another run",
    "prefect": "started in Prefect",
}
COLUMNS = (
    Column("state", "State", "badges"),
    Column("due", "Due", "away"),
    Column("lateness", "Lateness", align="right", spare=True),
    Column("took", "Duration", "elapsed", align="right"),
    Column("attempt", "Attempt", align="right", spare=True),
    Column("worker", "Worker", "muted"),
)
WITH_TASK = (Column("name", "Task", "title"), *COLUMNS)
OF_ONE_TASK = (Column("name", "Run", "title"), *COLUMNS[:4])


def short(run_id: UUID) -> str:
    """The part of an id that people compare."""
    return str(run_id)[:8]


def row(run: Run, *, zone: str, with_task: bool = True) -> dict[str, Any]:
    """A run for a grid with the columns above."""
    sub = f"Run {short(run.id)}, {TRIGGERS[run.trigger]}" if with_task else ""
    return {
        "id": str(run.id),
        "name": {"text": run.task_name if with_task else short(run.id), "href": f"run?id={run.id}", "sub": sub},
        "state": [asdict(run_badge(run.state, cancelling=is_cancelling(run)))],
        "due": moment(run.due_at, zone),
        "lateness": span(run.lateness_seconds),
        "took": took(run.started_at, run.ended_at),
        "attempt": str(run.attempt),
        "worker": run.worker,
        "rev": [run.state, run.attempt],
    }


def is_cancelling(run: Run) -> bool:
    """Whether the run's end was asked for and has not come."""
    return run.cancel_requested_at is not None and run.ended_at is None


def duration_seconds(run: Run) -> float | None:
    """From the start to the end; None while one is missing."""
    return (run.ended_at - run.started_at).total_seconds() if run.started_at and run.ended_at else None


def in_words(run: Run, *, zone: str) -> str:
    """How a run went, for the title of its bar."""
    length = span(duration_seconds(run))
    return "\n".join(
        filter(None, [run_badge(run.state).word + (f", {length}" if length else ""), in_full(run.due_at, zone)])
    )


def bars(recent: Sequence[Run], *, of: int, zone: str) -> dict[str, Any]:
    """The last runs, oldest first, a bar each."""
    items = [{"tone": run_badge(run.state).tone, "title": in_words(run, zone=zone)} for run in recent]
    bad = sum(item["tone"] == "red" for item in items)
    return {"items": items, "of": of, "label": f"{len(items)} recent runs, {bad} of them failed"}

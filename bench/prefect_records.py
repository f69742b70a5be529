"""Prefect's records of what ran: when they were complete, and whether they are right."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from bench.figures import quantile

LOOK_SECONDS = 0.5
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
SLACK_SECONDS = 0.001
RUNS = """
SELECT state_type, extract(epoch FROM expected_start_time)::float8, extract(epoch FROM start_time)::float8,
       extract(epoch FROM end_time)::float8
FROM flow_run WHERE expected_start_time BETWEEN %s AND %s
"""
LEFT = "SELECT count(*) FROM flow_run WHERE expected_start_time BETWEEN %s AND %s AND state_type <> ALL(%s)"
DONE = "SELECT count(*) FROM flow_run WHERE expected_start_time BETWEEN %s AND %s AND state_type = 'COMPLETED'"


@dataclass(frozen=True, slots=True)
class Row:
    """One flow run; epoch seconds."""

    state: str
    due_at: float
    started_at: float | None
    ended_at: float | None

    @property
    def is_sound(self) -> bool:
        """It completed, did not start before it was due, and did not end before it started."""
        if self.state != "COMPLETED" or self.started_at is None or self.ended_at is None:
            return False
        return self.due_at - SLACK_SECONDS <= self.started_at <= self.ended_at


@dataclass(frozen=True, slots=True)
class Records:
    complete_seconds: float | None
    """From the last due instant until every run was completed in Prefect; None if that was not seen."""
    completed: int
    wrong: int
    """Runs that did not complete, or whose times contradict one another, and runs that are missing or too many."""
    off_p99: float | None
    """How far the starts that Prefect has are from the real ones, in seconds; None if it has more or fewer."""

    def document(self) -> dict[str, Any]:
        return {
            "complete_seconds": self.complete_seconds,
            "completed": self.completed,
            "wrong": self.wrong,
            "off_p99": self.off_p99,
        }


Start = tuple[float, float]
"""When a run was due, and when it started."""


def judged(rows: Sequence[Row], starts: Sequence[Start], *, expected: int, complete_seconds: float | None) -> Records:
    """Compares them with what the recorder heard: of one due instant, in the order of the starts. Pure."""
    theirs = sorted((row.due_at, row.started_at) for row in rows if row.started_at is not None)
    pairs = zip(theirs, sorted(starts), strict=True) if len(theirs) == len(starts) else ()
    off = sorted(abs(theirs_at - at) for (_, theirs_at), (_, at) in pairs)
    sound = sum(row.is_sound for row in rows)
    wrong = len(rows) - sound + max(0, expected - len(rows)) + max(0, sound - expected)
    completed = sum(row.state == "COMPLETED" for row in rows)
    return Records(complete_seconds, completed, wrong, quantile(off, 0.99))


class Ledger:
    """Prefect's table of flow runs, read beside its server, so that looking costs the server nothing."""

    def __init__(self, url: str, *, since: float, until: float) -> None:
        self._url = url
        self._window = (datetime.fromtimestamp(since - 0.1, UTC), datetime.fromtimestamp(until, UTC))

    def wait(self, *, expected: int, until: float) -> float | None:
        """The instant at which they were complete; None if that was not before `until`."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            while True:
                done = _one(connection.execute(DONE, self._window))
                if done >= expected and not _one(connection.execute(LEFT, (*self._window, list(FINAL)))):
                    return time.time()
                if time.time() > until:
                    return None
                time.sleep(LOOK_SECONDS)

    def rows(self) -> list[Row]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            return [Row(*row) for row in connection.execute(RUNS, self._window).fetchall()]


def _one(cursor: "psycopg.Cursor[Any]") -> int:
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])

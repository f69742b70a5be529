"""Changes around a due time: the table of what is right, and a few trials against the real system."""

import io
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.around_due.order_of_commits import AROUND_SECONDS, Operation, Seen, contradictions, trials
from tests.faults.around_due.trials import run_trials, tell
from tests.faults.disturbances.stage import Stage

T = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def seen(changed: float, outcome: str | None = None, reason: str | None = None) -> Seen:
    """Nothing was executed; the answer came a hundredth of a second after the change."""
    return Seen(T, at(changed), at(changed + 0.01), outcome, reason, 1)


def ran(changed: float, version: int, mark: str | None = None, *, started: float = 0.002) -> Seen:
    """It began a hundredth of a second after the claim."""
    return replace(
        seen(changed, "ran"),
        version=version,
        started_at=at(started),
        marks=(mark or f"m{version}",),
        begun_at=at(started + 0.01),
    )


RIGHT = [
    (Operation.COMMAND, ran(-1, 2)),
    (Operation.COMMAND, ran(1, 1)),
    (Operation.COMMAND, ran(0.5, 2, started=0.6)),
    (Operation.SCHEDULE, seen(-1)),
    (Operation.SCHEDULE, ran(1, 1)),
    (Operation.SCHEDULE, ran(-0.001, 1)),
    (Operation.SCHEDULE, ran(0.001, 2)),
    (Operation.PAUSE, seen(-1, "skipped", "paused")),
    (Operation.PAUSE, ran(1, 1)),
    (Operation.RESUME, ran(-1, 2, "m1")),
    (Operation.RESUME, seen(1, "skipped", "paused")),
    (Operation.RESUME, seen(-0.005, "skipped", "paused")),
    (Operation.DELETE, seen(-1)),
    (Operation.DELETE, seen(0.001, "cancelled", "deleted")),
    (Operation.DELETE, ran(1, 1)),
]
WRONG = [
    (Operation.COMMAND, seen(-1)),
    (Operation.COMMAND, ran(-1, 1)),
    (Operation.COMMAND, ran(1, 2)),
    (Operation.COMMAND, ran(-1, 2, "m1")),
    (Operation.COMMAND, replace(ran(1, 1), marks=("m1", "m1"))),
    (Operation.COMMAND, replace(ran(1, 1), marks=())),
    (Operation.SCHEDULE, seen(1)),
    (Operation.SCHEDULE, ran(-1, 1)),
    (Operation.SCHEDULE, ran(-1, 2)),
    (Operation.SCHEDULE, replace(seen(-1), marks=("m1",))),
    (Operation.PAUSE, seen(-1)),
    (Operation.PAUSE, ran(-1, 1)),
    (Operation.PAUSE, ran(-1, 2, "m1")),
    (Operation.PAUSE, replace(seen(-1, "skipped", "paused"), marks=("m1",))),
    (Operation.RESUME, seen(-1, "skipped", "paused")),
    (Operation.RESUME, ran(1, 2, "m1", started=1.1)),
    (Operation.RESUME, ran(-1, 1)),
    (Operation.RESUME, ran(-0.005, 1)),
    (Operation.DELETE, seen(1)),
    (Operation.DELETE, seen(-1, "cancelled", "deleted")),
    (Operation.DELETE, ran(-1, 1)),
    (Operation.DELETE, ran(-1, 2, "m1")),
    (Operation.DELETE, replace(seen(-1), marks=("m1",))),
]


@pytest.mark.parametrize(("operation", "what"), RIGHT)
def test_what_the_order_of_the_commits_allows_is_right(operation: Operation, what: Seen) -> None:
    assert contradictions(operation, what) == []


@pytest.mark.parametrize(("operation", "what"), WRONG)
def test_everything_else_is_wrong(operation: Operation, what: Seen) -> None:
    assert contradictions(operation, what)


def test_trials_are_told_by_their_seed_and_come_close_to_the_due_time() -> None:
    planned = trials(5, 100)
    assert planned == trials(5, 100)
    assert planned != trials(6, 100)
    assert Counter(one.operation for one in planned) == dict.fromkeys(Operation, 100)
    assert all(abs(one.offset_seconds) <= AROUND_SECONDS for one in planned)
    assert sum(abs(one.offset_seconds) < 0.1 for one in planned) > 200
    assert {one.by_cron for one in planned} == {True, False}


@pytest.mark.long
@pytest.mark.xdist_group("faults")
@pytest.mark.timeout(900)
def test_what_is_done_around_a_due_time_counts_if_it_was_committed_before_the_claim(stage: Stage) -> None:
    verdicts = run_trials(stage.system, stage.home / "around-due.lines", seed=3, of_each=4, at_once=20)
    told = io.StringIO()
    tell(verdicts, told.write)
    assert len(verdicts) == 4 * len(Operation)
    assert not any(one.wrong for one in verdicts), told.getvalue()

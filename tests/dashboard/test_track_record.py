"""How the last runs went, in figures."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard import history_bars
from dashboard.track_record import percentile_seconds, success_rate
from db.specs import parse_task
from db.states import RunState
from db.tables import Run

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def run(state: RunState = RunState.COMPLETED, *, took: float = 1, late: float = 0) -> Run:
    started = NOW + timedelta(seconds=late)
    ended = None if state is RunState.RUNNING else started + timedelta(seconds=took)
    return Run(state=state, due_at=NOW, started_at=started, ended_at=ended, task_name="backup")


def test_what_was_cancelled_or_goes_on_says_nothing_of_the_task() -> None:
    assert success_rate([run(RunState.CANCELLED), run(RunState.RUNNING)]) == ""
    assert success_rate([run(), run(), run(RunState.FAILED), run(RunState.CANCELLED)]) == "66 %"


def test_a_record_with_a_failure_is_never_rounded_up_to_perfect() -> None:
    assert success_rate([run()] * 999 + [run(RunState.TIMED_OUT)]) == "99 %"
    assert success_rate([run()] * 3) == "100 %"


@pytest.mark.parametrize(("lengths", "longest"), [([], None), ([4], 4), (range(1, 21), 19), (range(1, 101), 95)])
def test_the_given_share_took_no_longer(lengths: list[int], longest: float | None) -> None:
    assert percentile_seconds([run(took=length) for length in lengths]) == longest


def test_what_failed_at_once_does_not_make_a_task_quick() -> None:
    assert percentile_seconds([run(took=60), run(RunState.FAILED, took=0.1)], 0.5) == 60


TASK = parse_task(
    {
        "name": "backup",
        "kind": "shell",
        "action": {"command": "true"},
        "schedule": {"kind": "manual"},
        "max_lateness_seconds": 30,
        "timeout_seconds": 100,
    }
)


def test_lateness_is_measured_against_the_latest_that_a_task_may_start() -> None:
    found = history_bars.lateness(TASK, [run(late=15), run(late=45)], zone="UTC")
    assert [bar["tone"] for bar in found.bars] == ["green", "orange"]
    assert [bar["share"] for bar in found.bars] == [pytest.approx(1 / 3), 1]
    assert found.line == pytest.approx(2 / 3)
    assert found.line_word == "objective: 30.0 s"


def test_a_limit_far_above_all_bars_is_said_and_not_drawn() -> None:
    far = history_bars.durations(TASK, [run(took=1)], zone="UTC")
    assert (far.line, far.line_word, far.bars[0]["share"]) == (None, "", 1)
    near = history_bars.durations(TASK, [run(took=50)], zone="UTC")
    assert (near.line, near.bars[0]["share"]) == (1, 0.5)
    assert history_bars.lateness(TASK, [], zone="UTC").bars == []

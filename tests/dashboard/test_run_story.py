"""What happened to a run, and what ran beside it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from dashboard.run_gantt import Window, chart
from dashboard.run_story import as_data, steps
from db.states import RunState
from db.tables import Run

DUE = datetime(2026, 11, 25, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return DUE + timedelta(seconds=seconds)


def run(**values: Any) -> Run:
    known = {"id": uuid4(), "due_at": DUE, "state": RunState.RUNNING, "task_name": "backup", "worker": "w1"}
    return Run(**known | values)


def told(it: Run) -> list[tuple[str, str]]:
    return [(step.word, step.gap) for step in steps(it)]


def test_a_run_is_told_from_its_due_time_to_its_end() -> None:
    done = run(state=RunState.COMPLETED, held_at=after(-1), started_at=after(0.009), ended_at=after(65))
    assert told(done) == [("Due", ""), ("Claimed and started", "9 ms"), ("Completed", "1 m 04 s")]
    assert as_data(done, "UTC")[1]["at"] == "12:00:00.009"


def test_what_waited_for_a_worker_and_what_has_not_ended_are_told_apart() -> None:
    late = run(held_at=after(30), started_at=after(30.2))
    assert told(late) == [("Due", ""), ("In a worker's hands", "30.0 s"), ("Claimed and started", "200 ms")]
    assert told(run(state=RunState.SCHEDULED)) == [("Due", "")]


def test_a_retry_and_a_late_note_are_part_of_it() -> None:
    retrying = run(state=RunState.RETRYING, started_at=after(0), retry_at=after(10))
    assert told(retrying)[-1] == ("Next attempt", "10.0 s")
    noted = run(state=RunState.FAILED, started_at=after(0), ended_at=after(1), noted_at=after(61))
    assert told(noted)[-1] == ("Noted", "1 m 00 s")


def test_a_lane_for_each_worker_has_its_runs_in_order() -> None:
    window = Window(DUE, after(100))
    runs = [
        run(started_at=after(50), state=RunState.RUNNING),
        run(started_at=after(-10), ended_at=after(10), state=RunState.FAILED),
        run(started_at=after(20), ended_at=after(30), state=RunState.COMPLETED, worker="w0"),
        run(started_at=after(5), ended_at=after(6), state=RunState.COMPLETED, worker=None),
        run(started_at=after(-10), ended_at=after(-5), state=RunState.COMPLETED),
    ]
    found = chart(runs, window, "UTC")
    assert [lane["name"] for lane in found["lanes"]] == ["Prefect's own", "w0", "w1"]
    bars = found["lanes"][-1]["bars"]
    assert [(bar["tone"], bar["begin"], bar["width"]) for bar in bars] == [("red", 0.0, 0.1), ("blue", 0.5, 0.5)]
    assert bars[0]["title"].startswith("backup\nFailed, 20.0 s\n")
    assert (found["ticks"][0]["at"], found["ticks"][-1]["at"]) == (0.0, 1.0)

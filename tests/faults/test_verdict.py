"""What is found in evidence that was made by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.verdict import (
    Discrepancy,
    Evidence,
    Fault,
    Line,
    Row,
    Run,
    Task,
    Version,
    expected_due_times,
    judge,
    parse_line,
)

T = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def version(number: int, seconds: float, period: int | None = 10, change: str = "edited") -> Version:
    return Version(number, at(seconds), change, f"m{number}", period_seconds=period)


def task(*versions: Version, on_crash: str = "fail", retries: int = 0) -> Task:
    return Task("t", on_crash, "skip", "latest", retries, versions or (version(1, -5),))


def row(outcome: str = "ran", run: str | None = "r1", due: float = 0, number: int = 1) -> Row:
    return Row("t", at(due), outcome, None, run, number)


def run(id_: str = "r1", state: str = "completed", number: int = 1, due: float = 0) -> Run:
    return Run(id_, "t", at(due), "schedule", state, 1, number, 0.01, None)


def line(word: str, run_id: str = "r1", attempt: int = 1, mark: str = "m1", due: float = 0) -> Line:
    return Line(word, "t", at(due), run_id, attempt, mark, 0.0)


def evidence(rows: list[Row], runs: list[Run], lines: list[Line], of: Task | None = None, end: float = 10) -> Evidence:
    return Evidence(at(-5), at(end), {"t": of or task()}, rows, {one.id: one for one in runs}, lines)


def faults(found: list[Discrepancy]) -> list[Fault]:
    return [one.fault for one in found]


WHOLE = [line("start"), line("end")]


def test_what_ran_and_was_written_down_is_well() -> None:
    assert judge(evidence([row()], [run()], WHOLE)) == []


def test_a_due_time_without_a_row_is_unaccounted_for() -> None:
    assert faults(judge(evidence([], [], []))) == [Fault.UNACCOUNTED]


@pytest.mark.parametrize(("outcome", "run_id"), [("pending", None), ("running", "r1")])
def test_a_due_time_that_is_not_decided_is_unaccounted_for(outcome: str, run_id: str | None) -> None:
    assert Fault.UNACCOUNTED in faults(judge(evidence([row(outcome, run_id)], [run()], [])))


def test_two_rows_of_one_due_time_are_a_fault() -> None:
    assert Fault.UNACCOUNTED in faults(judge(evidence([row(), row()], [run()], WHOLE)))


@pytest.mark.parametrize("outcome", ["skipped", "missed", "cancelled"])
def test_what_was_not_to_run_has_no_start_line(outcome: str) -> None:
    assert judge(evidence([row(outcome, None)], [], [])) == []
    assert faults(judge(evidence([row(outcome, None)], [run()], WHOLE))) == [Fault.DISAGREES]


@pytest.mark.parametrize("lines", [[], [line("start")], WHOLE])
def test_an_unknown_outcome_may_have_done_nothing_or_something_or_everything(lines: list[Line]) -> None:
    assert judge(evidence([row("unknown")], [run(state="crashed")], lines)) == []


@pytest.mark.parametrize("lines", [[], [line("start")], [line("end")]])
def test_what_completed_has_both_lines(lines: list[Line]) -> None:
    assert Fault.DISAGREES in faults(judge(evidence([row()], [run()], lines)))


def test_what_was_cancelled_in_the_middle_may_lack_lines_and_a_crash_is_not_an_end() -> None:
    assert judge(evidence([row()], [run(state="cancelled")], [])) == []
    assert faults(judge(evidence([row()], [run(state="crashed")], WHOLE))) == [Fault.DISAGREES]


def test_the_run_of_a_row_must_be_there() -> None:
    assert faults(judge(evidence([row("unknown")], [], []))) == [Fault.DISAGREES]


def test_a_line_that_the_ledger_does_not_know_is_a_fault() -> None:
    unheard_of, of_a_run = [*WHOLE, line("start", "r2", due=3)], [run(), run("r2", due=3)]
    assert faults(judge(evidence([row()], of_a_run, unheard_of))) == [Fault.DISAGREES]
    assert Fault.DISAGREES in faults(judge(evidence([row()], [run()], [*WHOLE, line("start", "r2", attempt=2)])))


def test_a_command_of_another_version_than_the_run_tells_is_a_fault() -> None:
    assert faults(judge(evidence([row()], [run()], [line("start", mark="m0"), line("end", mark="m0")]))) == [
        Fault.DISAGREES
    ]


def test_two_runs_of_one_due_time_are_twice_for_fail_and_not_for_rerun() -> None:
    twice = [line("start"), line("start", "r2", 2), line("end", "r2", 2)]
    rows, runs = [row(run="r2")], [run(state="crashed"), run("r2")]
    assert faults(judge(evidence(rows, runs, twice))) == [Fault.TWICE]
    assert judge(evidence(rows, runs, twice, task(on_crash="rerun"))) == []


@pytest.mark.parametrize("on_crash", ["fail", "rerun"])
def test_the_same_attempt_twice_is_twice_whatever_the_policy(on_crash: str) -> None:
    again = [line("start"), *WHOLE]
    assert faults(judge(evidence([row()], [run()], again, task(on_crash=on_crash)))) == [Fault.TWICE]


def test_an_attempt_after_one_that_failed_is_a_retry_and_one_after_a_kill_is_not() -> None:
    retried = [line("start"), line("fail"), line("start", attempt=2), line("end", attempt=2)]
    assert judge(evidence([row()], [run()], retried, task(retries=1))) == []
    killed = [one for one in retried if one.word != "fail"]
    assert faults(judge(evidence([row()], [run()], killed, task(retries=1)))) == [Fault.TWICE]
    assert faults(judge(evidence([row()], [run()], retried, task(retries=0)))) == [Fault.TWICE]


def test_a_rerun_task_has_to_be_executed_unless_it_was_deleted_or_cancelled() -> None:
    cut, unknown, crashed = [line("start")], [row("unknown")], [run(state="crashed")]
    assert faults(judge(evidence(unknown, crashed, cut, task(on_crash="rerun")))) == [Fault.NEVER]
    deleted = task(version(1, -5), version(2, 4, change="deleted"), on_crash="rerun")
    assert judge(evidence(unknown, crashed, cut, deleted)) == []
    assert judge(evidence([row()], [run(state="cancelled")], cut, task(on_crash="rerun"))) == []
    assert judge(evidence(unknown, crashed, WHOLE, task(on_crash="rerun"))) == []


def test_due_times_follow_the_versions_in_force() -> None:
    versions = (version(1, -5, 10), version(2, 20, 30), version(3, 61, change="deleted"), version(4, 75, 10))
    found = list(expected_due_times(task(*versions), begin=at(-5), end=at(91)))
    assert found == [at(0), at(10), at(20), at(30), at(60), at(80), at(90)]


def test_a_one_shot_is_due_once_if_it_was_in_force_then() -> None:
    once = Version(1, at(-5), "created", "m1", once_at=at(3.25))
    assert list(expected_due_times(task(once), begin=at(-5), end=at(10))) == [at(3.25)]
    gone = task(once, replace(once, version=2, at=at(2), change="deleted"))
    assert list(expected_due_times(gone, begin=at(-5), end=at(10))) == []


def test_a_row_that_no_version_asks_for_is_a_fault_but_for_a_claim_just_before_a_change() -> None:
    rows = [row(), row(run="r2", due=5)]
    runs, lines = [run(), run("r2", due=5)], [*WHOLE, line("start", "r2", due=5), line("end", "r2", due=5)]
    assert faults(judge(evidence(rows, runs, lines))) == [Fault.DISAGREES]
    before = task(version(1, -5, 5), version(2, 4.9, 10))
    assert judge(evidence(rows, runs, lines, before)) == []


def test_a_line_is_read_whole_or_not_at_all() -> None:
    whole = parse_line("start t 2026-11-24T12:00:00Z r1 2 m1 1795521600.5")
    assert (whole.due_at, whole.attempt, whole.mark) == (T, 2, "m1")
    for torn in (
        "start t 2026-11-24T12:00:00Z r1 2 m1",
        "stat t 2026-11-24T12:00:00Z r1 2 m1 1",
        "start start t x r 1 m",
    ):
        with pytest.raises(ValueError, match=r".+"):
            parse_line(torn)

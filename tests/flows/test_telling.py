from datetime import UTC, datetime, timedelta
from uuid import uuid4

from db.runs import RunKey
from db.states import RunState
from flows.telling import Report, coalesced, with_times

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = RunKey(uuid4(), NOON)


def report(state: RunState, *, seconds: float = 0, message: str = "") -> Report:
    return Report(KEY, state, message, NOON + timedelta(seconds=seconds))


def test_what_goes_on_is_told_in_its_order() -> None:
    running, retrying = report(RunState.RUNNING), report(RunState.RETRYING)
    assert coalesced([running, retrying]) == (running, ())


def test_an_end_is_told_instead_of_all_that_came_before_it() -> None:
    running, retrying, failed = report(RunState.RUNNING), report(RunState.RETRYING), report(RunState.FAILED)
    assert coalesced([running, retrying, running, failed]) == (failed, [running, retrying, running])
    assert coalesced([failed]) == (failed, [])


def test_an_end_that_is_told_in_time_is_told_as_it_is() -> None:
    failed = report(RunState.FAILED, message="Exited with code 7.")
    assert with_times(failed, (), now=NOON + timedelta(seconds=0.5)) is failed


def test_an_end_that_is_told_late_or_alone_says_its_true_times() -> None:
    failed = report(RunState.FAILED, message="Exited with code 7.", seconds=2.5)
    late = with_times(failed, (), now=NOON + timedelta(minutes=1))
    assert late.message == "Exited with code 7. Ended at 2026-03-01 12:00:02.500 UTC."
    alone = with_times(report(RunState.COMPLETED, seconds=2.5), [report(RunState.RUNNING, seconds=0.007)], now=NOON)
    assert alone.message == "Began at 2026-03-01 12:00:00.007, ended at 2026-03-01 12:00:02.500 UTC."


def test_a_state_that_goes_on_has_no_times_to_say() -> None:
    running = report(RunState.RUNNING)
    assert with_times(running, (), now=NOON + timedelta(minutes=1)) is running

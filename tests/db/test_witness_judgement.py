"""When a task was due by its versions, and what is concluded from what there is: without a database."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.judgement import Judgement, judge
from db.schedules import is_due_at
from db.testimony import (
    Busy,
    Evidence,
    LedgerRow,
    Rerun,
    SeenRun,
    Version,
    due_instants,
    in_force,
    is_busy,
    is_due_within,
    utc,
)
from tests.db.conftest import MANUAL, NOW, a_task, minutes, once, seconds

TASK = UUID(int=1)
LATER = NOW + timedelta(days=1)
HALF_AN_HOUR = [NOW + seconds(30 * half) for half in range(61)]


def a_version(number: int = 1, *, at: datetime = NOW, change: str = "created", **spec: Any) -> Version:
    return Version(number, at, change, a_task(**spec))


def cron(expression: str, timezone: str = "UTC") -> dict[str, Any]:
    return {"kind": "cron", "cron": expression, "timezone": timezone}


# Coarse, so that changes and due times meet at the same instants.
MOMENTS = st.integers(0, 40).map(lambda half: NOW + seconds(30 * half))
SCHEDULES = st.one_of(
    st.sampled_from([cron("* * * * *"), cron("*/3 * * * *"), cron("*/7 * * * *", "Asia/Kathmandu"), MANUAL]),
    MOMENTS.map(lambda at: once(at, run_if_past=True)),
)
BOUNDS = st.sampled_from(
    [{}, {"starts_at": utc(NOW + minutes(4))}, {"starts_at": utc(NOW + minutes(2)), "ends_at": utc(NOW + minutes(9))}]
)


@st.composite
def histories(draw: st.DrawFn) -> list[Version]:
    """As the commands leave them: created, edited, into the trash and out of it, at instants that never go back."""
    spec = {"schedule": draw(SCHEDULES), **draw(BOUNDS)}
    history = [a_version(at=draw(MOMENTS), **spec)]
    for at in sorted(draw(st.lists(MOMENTS, max_size=5))):
        change = draw(st.sampled_from(["edited", "paused", "deleted"]))
        if history[-1].is_deleted:
            change = "restored"
        elif change == "edited":
            spec = {"schedule": draw(SCHEDULES), **draw(BOUNDS)}
        at = max(at, history[-1].at)
        history.append(a_version(len(history) + 1, at=at, change=change, **spec))
    return history


def was_due(history: list[Version], at: datetime) -> bool:
    """The same, asked of one instant, in the plainest way."""
    before = [version for version in history if version.at < at]
    if before and not before[-1].is_deleted:
        spec = before[-1].spec
        if is_due_at(spec.schedule.value(), at, starts_at=spec.starts_at, ends_at=spec.ends_at):
            return True
    for number, version in enumerate(history):
        schedule = version.spec.schedule
        if schedule.kind == "once" and schedule.at == at <= version.at:
            rescheduled = version.change == "edited" and _when(history[number - 1]) != _when(version)
            if version.change == "created" or rescheduled:
                return True
    return False


def _when(version: Version) -> list[Any]:
    return [version.spec.schedule, version.spec.starts_at, version.spec.ends_at]


@given(histories(), MOMENTS, MOMENTS)
def test_a_task_was_due_as_the_version_in_force_says(history: list[Version], one: datetime, other: datetime) -> None:
    from_at, to_at = min(one, other), max(one, other)
    found = due_instants(history, from_at=from_at, to_at=to_at)
    assert set(found) == {at for at in HALF_AN_HOUR if from_at <= at < to_at and was_due(history, at)}
    later = from_at + timedelta(microseconds=1)
    assert is_due_within(history, after=from_at, until=to_at) == bool(
        due_instants(history, from_at=later, to_at=to_at + timedelta(microseconds=1))
    )


@given(histories(), MOMENTS)
def test_a_time_may_be_looked_at_in_parts(history: list[Version], between: datetime) -> None:
    whole = due_instants(history, from_at=NOW, to_at=LATER)
    first = due_instants(history, from_at=NOW, to_at=between)
    assert whole == first | due_instants(history, from_at=between, to_at=LATER)
    assert all(at < between for at in first)


def test_at_the_instant_of_a_change_the_version_before_it_is_in_force() -> None:
    first, second = a_version(), a_version(2, at=NOW + minutes(2), change="edited", schedule=MANUAL)
    history = [first, second]
    assert in_force(history, NOW) == []
    assert in_force(history, NOW + seconds(1)) == in_force(history, second.at) == [first]
    assert in_force(history, second.at + seconds(1)) == [second]
    assert in_force(history, second.at - seconds(1), give_or_take=seconds(2)) == [first, second]
    assert in_force(history, second.at + seconds(1), give_or_take=seconds(1)) == [first, second]
    assert in_force(history, second.at + seconds(2), give_or_take=seconds(1)) == [second]
    assert list(due_instants(history, from_at=NOW, to_at=LATER)) == [NOW + minutes(1), NOW + minutes(2)]


def test_a_version_that_another_replaced_in_the_same_instant_was_never_in_force() -> None:
    history = [a_version(), a_version(2, at=NOW, change="edited", schedule=MANUAL)]
    assert due_instants(history, from_at=NOW, to_at=LATER) == {}


# ---- from evidence to judgement


def honest(history: list[Version]) -> Evidence:
    due = due_instants(history, from_at=NOW, to_at=LATER)
    runs = [
        SeenRun(UUID(int=100 + n), TASK, at, "schedule", "completed", started_at=at, ended_at=at)
        for n, at in enumerate(due)
    ]
    rows = [LedgerRow(run.due_at, 1, "ran", None, run.id, run.ended_at) for run in runs]
    return Evidence(TASK, history, rows, runs)


def judged(evidence: Evidence, *, now: datetime = LATER) -> Judgement:
    return judge(evidence, from_at=NOW, to_at=LATER, now=now)


SHORT = [a_version(ends_at=utc(NOW + minutes(3)))]


@given(histories(), st.data())
def test_of_an_honest_ledger_nothing_can_be_taken_and_nothing_added_unseen(
    history: list[Version], data: st.DataObject
) -> None:
    history = [*history, a_version(len(history) + 1, at=NOW + minutes(30), change="deleted")]
    whole = honest(history)
    assert judged(whole) == Judgement(len(whole.rows), 0, ())
    at = data.draw(MOMENTS)
    without = [row for row in whole.rows if row.due_at != at]
    rows = without if len(without) < len(whole.rows) else [*without, LedgerRow(at, 1, "pending", "queued")]
    assert {fault.due_at for fault in judged(Evidence(TASK, history, rows, whole.runs)).faults} == {at}


def lost(number: int, *, attempt: int = 1, rerun_of: int | None = None) -> SeenRun:
    at = NOW + minutes(1) + seconds(number)
    before = UUID(int=rerun_of) if rerun_of else None
    trigger = "rerun" if rerun_of else "schedule"
    return SeenRun(UUID(int=number), TASK, NOW + minutes(1), trigger, "crashed", attempt, at, at, before)


@pytest.mark.parametrize(
    ("on_crash", "asked_for_attempt", "is_fine"),
    [("rerun", 2, True), ("fail", 2, False), ("fail", 1, True)],
)
def test_a_lost_run_goes_on_where_its_task_wants_it_or_it_waited_for_its_attempt(
    on_crash: str, asked_for_attempt: int, is_fine: bool
) -> None:
    history = [a_version(on_crash=on_crash, schedule=once(NOW + minutes(1)))]
    runs = [lost(2), lost(3, attempt=2, rerun_of=2)]
    rows = [LedgerRow(NOW + minutes(1), 1, "unknown", "worker_lost", runs[1].id, LATER)]
    evidence = Evidence(TASK, history, rows, runs, [Rerun(runs[0].id, asked_for_attempt)])
    assert (judged(evidence).faults == ()) == is_fine


def test_an_edit_before_the_machine_died_says_whether_the_run_goes_on() -> None:
    first = a_version(schedule=once(NOW + minutes(1)), on_crash="fail")
    edited = a_version(2, at=NOW + seconds(59), change="edited", schedule=once(NOW + minutes(1)), on_crash="rerun")
    runs = [lost(2), lost(3, attempt=2, rerun_of=2)]
    rows = [LedgerRow(NOW + minutes(1), 1, "unknown", "worker_lost", runs[1].id, LATER)]
    assert judged(Evidence(TASK, [first, edited], rows, runs, [Rerun(runs[0].id, 2)])).faults == ()


def test_runs_that_go_on_with_each_other_end_the_search() -> None:
    runs = [lost(2, rerun_of=3), lost(3, rerun_of=2)]
    assert judged(Evidence(TASK, SHORT, honest(SHORT).rows, [*honest(SHORT).runs, *runs])).faults


def test_a_rerun_of_what_somebody_asked_for_owes_nothing_to_the_ledger() -> None:
    whole, at = honest(SHORT), NOW + seconds(5)
    manual = SeenRun(UUID(int=2), TASK, at, "manual", "crashed", started_at=at, ended_at=at)
    rerun = SeenRun(UUID(int=3), TASK, at, "rerun", "completed", 2, at, at, manual.id)
    refused = Rerun(manual.id, 2)
    assert judged(Evidence(TASK, SHORT, whole.rows, [*whole.runs, manual, rerun], [refused])).faults == ()


def test_what_was_due_within_the_last_minute_need_not_be_decided() -> None:
    rows = [LedgerRow(NOW + minutes(n), 1, "pending") for n in (1, 2, 3)]
    found = judged(Evidence(TASK, SHORT, rows), now=NOW + minutes(3) + seconds(1))
    assert [fault.due_at for fault in found.faults] == [NOW + minutes(1), NOW + minutes(2)]


@pytest.mark.parametrize(
    ("spec", "reason", "oldest", "busy", "waits"),
    [
        ({}, None, 0, True, False),
        ({}, "queued", 1, False, True),
        ({}, "resumed", 1, False, True),
        ({"misfire": "all"}, None, 1, False, True),
        ({"overlap": "queue"}, None, 1, False, False),
        ({"overlap": "queue"}, None, 0, False, True),
        ({"overlap": "queue"}, None, 1, True, True),
    ],
)
def test_a_pending_due_time_needs_a_reason(
    spec: dict[str, Any], reason: str | None, oldest: int, busy: bool, waits: bool
) -> None:
    history = [a_version(schedule=once(NOW + minutes(1)), **spec)]
    found = judged(
        Evidence(
            TASK,
            history,
            [LedgerRow(NOW + minutes(1), 1, "pending", reason)],
            busy=[Busy(NOW, None)] if busy else [],
            oldest_open_at=NOW + minutes(oldest),
        )
    )
    assert (found.waiting, found.faults == ()) == (waits, waits)


def test_what_waits_is_not_counted_as_waiting_where_it_was_executed_already() -> None:
    at = NOW + minutes(1)
    history = [a_version(schedule=once(at))]
    run = SeenRun(UUID(int=2), TASK, at, "schedule", "completed", started_at=at, ended_at=at)
    found = judged(Evidence(TASK, history, [LedgerRow(at, 1, "pending", "queued")], [run]))
    assert (found.due_times, found.waiting, len(found.faults)) == (1, 0, 1)


def test_a_pause_counts_that_was_in_force_when_it_was_due_or_when_it_was_decided() -> None:
    at = NOW + minutes(1)
    changes = [(1, "created", False), (30, "paused", True), (90, "resumed", False)]
    history = [
        a_version(number, at=NOW + seconds(after), change=change, schedule=once(at), paused=paused)
        for number, (after, change, paused) in enumerate(changes, 1)
    ]
    for decided_at in (at, NOW + minutes(5)):
        rows = [LedgerRow(at, 1, "skipped", "paused", None, decided_at)]
        assert judged(Evidence(TASK, history, rows)).faults == ()


def test_a_run_covers_its_time_give_or_take_a_second() -> None:
    evidence = Evidence(TASK, SHORT, busy=[Busy(NOW, NOW + seconds(10))])
    covered = [s for s in range(-3, 15) if is_busy(evidence, NOW + seconds(s))]
    assert covered == list(range(-1, 12))


def test_instants_are_written_in_utc() -> None:
    assert utc(datetime.fromisoformat("2026-07-01T02:00:00+02:00")) == "2026-07-01T00:00:00Z"

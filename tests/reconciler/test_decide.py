"""Which due times need a run and which are decided without one: a pure function of the ledger and of Prefect's runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from db.due_times import Expected
from db.specs import parse_task
from db.states import Outcome, Reason
from reconciler.decisions import (
    AHEAD_OF_A_TASK,
    AT_MOST_CAUGHT_UP,
    Settle,
    Start,
    decide,
    is_made_now,
    of_one_schedule,
    run_key,
)
from reconciler.prefect import FlowRun

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TASK, DEPLOYMENT = UUID(int=1), UUID(int=2)
NEWEST = NOW - timedelta(seconds=180)


def expected(seconds: float, **changes: Any) -> Expected:
    """A due time so many seconds from now."""
    document = {
        "name": "t",
        "kind": "shell",
        "action": {"command": "true"},
        "schedule": {"kind": "cron", "cron": "* * * * *"},
    }
    task = parse_task(document | changes)
    return Expected(TASK, NOW + timedelta(seconds=seconds), DEPLOYMENT, "sched", task, 1, None, NEWEST)


def scheduled(seconds: float) -> FlowRun:
    at = NOW + timedelta(seconds=seconds)
    return FlowRun(uuid4(), DEPLOYMENT, at, "SCHEDULED", "Scheduled", "", "", True, None, None)


def test_a_due_time_that_prefect_has_needs_nothing() -> None:
    assert decide([expected(30)], [scheduled(30)], now=NOW) == []


def test_a_due_time_that_prefect_lacks_gets_its_run() -> None:
    assert decide([expected(30)], [scheduled(60)], now=NOW) == [Start(expected(30), late=False)]


def test_a_task_that_is_not_deployed_yet_waits() -> None:
    waiting = replace(expected(0), deployment_id=None, schedule_id=None)
    assert decide([waiting], [], now=NOW) == []


def test_after_an_outage_only_the_newest_runs_by_default() -> None:
    decisions = decide([expected(-300), expected(-240), expected(-180)], [], now=NOW)
    assert [type(one) for one in decisions] == [Settle, Settle, Start]
    assert isinstance(decisions[0], Settle)
    assert (decisions[0].refusal.outcome, decisions[0].refusal.reason) == (Outcome.SKIPPED, Reason.SUPERSEDED)


def test_misfire_skip_runs_none_of_them() -> None:
    decisions = decide([expected(-300, misfire="skip"), expected(-240, misfire="skip")], [], now=NOW)
    assert all(isinstance(one, Settle) and one.refusal.outcome is Outcome.MISSED for one in decisions)


def test_misfire_all_catches_up_some_at_a_time_and_does_not_delay_what_is_due_now() -> None:
    passed = [expected(-60 * n, misfire="all") for n in range(100, 2, -1)]
    at_once = [replace(one, task=parse_task(one.task.model_dump() | {"overlap": "allow"})) for one in passed]
    decisions = decide([expected(5, misfire="all"), *at_once], [], now=NOW)
    assert [one.late for one in decisions if isinstance(one, Start)] == [False] + [True] * AT_MOST_CAUGHT_UP
    in_line = [Start(one, late=True) for one in passed[:AHEAD_OF_A_TASK]]
    assert decide(passed, [], now=NOW) == in_line, "where one waits for the other, the oldest few"


def test_a_paused_task_is_skipped_when_its_time_comes_and_not_before() -> None:
    decisions = decide([expected(-1, paused=True), expected(5, paused=True)], [scheduled(5)], now=NOW)
    assert [type(one) for one in decisions] == [Settle]


def test_too_late_is_missed() -> None:
    decisions = decide([expected(-11, max_lateness_seconds=10)], [], now=NOW)
    assert isinstance(decisions[0], Settle)
    assert decisions[0].refusal.reason is Reason.LATE


def test_the_key_of_a_run_is_the_one_that_prefects_own_scheduler_gives_it() -> None:
    berlin = {"kind": "cron", "cron": "* * * * *", "timezone": "Europe/Berlin"}
    assert run_key(expected(0, schedule=berlin)) == f"scheduled {DEPLOYMENT} sched 2026-03-01 13:00:00+01:00"


@given(offsets=st.lists(st.integers(-600, 70), unique=True), known=st.sets(st.integers(-600, 70)), paused=st.booleans())
def test_every_due_time_is_either_started_settled_or_already_there(
    offsets: list[int], known: set[int], paused: bool
) -> None:
    newest = NOW + timedelta(seconds=max((offset for offset in offsets if offset <= 0), default=0))
    due = [
        replace(expected(offset, paused=paused, misfire="latest"), newest_due_at=newest) for offset in sorted(offsets)
    ]
    decided = {one.expected.due_at for one in decide(due, [scheduled(offset) for offset in known], now=NOW)}
    there = {NOW + timedelta(seconds=offset) for offset in known}
    assert decided | there >= {one.due_at for one in due}


def test_what_a_schedule_gives_is_made_together_unless_it_is_late_or_alone() -> None:
    ahead = [Start(expected(seconds), late=False) for seconds in (10, 70)]
    late = [Start(expected(seconds), late=True) for seconds in (-70, -130)]
    once = {"kind": "once", "at": NOW.isoformat()}
    alone = Start(replace(expected(5, schedule=once), deployment_id=UUID(int=3), schedule_id=None), late=False)
    assert of_one_schedule([*late, alone, *ahead]) == ({DEPLOYMENT: ahead}, [*late, alone])
    assert of_one_schedule(ahead[:1]) == ({}, ahead[:1])


def test_what_became_late_while_others_were_made_is_left_to_the_next_pass() -> None:
    soon, later, late = Start(expected(3), late=False), Start(expected(20), late=False), Start(expected(-60), late=True)
    made = {
        seconds: [is_made_now(one, now=NOW, seconds=seconds) for one in (soon, later, late)]
        for seconds in (0, 2, 18, 70, 100)
    }
    assert made == {
        0: [True, True, True],
        2: [True, False, False],
        18: [True, True, False],
        70: [False, True, False],
        100: [False, False, False],
    }

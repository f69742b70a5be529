"""A pass on its own: when it is made, for how long, and what becomes of it when it fails."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from db import loops
from db.loops import records
from reconciler import deadlines
from reconciler.deadlines import TookTooLong
from reconciler.lease import LeaseLost
from reconciler.passes import Pass
from tests.waiting import wait_until


@dataclass
class Leading:
    """A lease as far as a pass looks at it."""

    leads: bool = True
    term: int = 1


LEADS: Any = Leading()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(records, "LONGEST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(records, "_RECORDS", {})
    monkeypatch.setattr("reconciler.passes.LOOK_SECONDS", 0.01)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The counter of seconds, which a pass may push."""
    counted = [1000.0]
    monkeypatch.setattr("reconciler.passes.monotonic", lambda: counted[0])
    monkeypatch.setattr("reconciler.deadlines.monotonic", lambda: counted[0])
    return counted


@dataclass
class Made:
    """How often a pass was made, and what it does then."""

    times: int = 0
    does: Callable[[], object] = field(default=lambda: None)

    def __call__(self) -> object:
        self.times += 1
        return self.does()


@contextmanager
def looping(*passes: Pass, lease: Any = LEADS, on_missing_month: Callable[[], None] = lambda: None) -> Iterator[None]:
    all_of_them = [each.loop(lease, on_missing_month=on_missing_month).start() for each in passes]
    yield
    for each in all_of_them:
        each.stop()


@pytest.mark.parametrize(("share", "again_after"), [(1.0, 2.0), (0.1, 30.0)])
def test_a_pass_that_took_long_is_made_again_in_time_unless_it_may_take_only_a_part_of_it(
    clock: list[float], share: float, again_after: float
) -> None:
    made = Made()

    def slowly() -> None:
        clock[0] += 3.0

    made.does = slowly
    each = Pass("x", 2.0, made, share=share)
    each.make_if_due(LEADS)
    began, clock[0] = clock[0], clock[0] + again_after - 0.1
    each.make_if_due(LEADS)
    assert made.times == 1
    clock[0] = began + again_after
    each.make_if_due(LEADS)
    assert made.times == 2


@pytest.mark.usefixtures("clock")
def test_a_hint_that_comes_while_it_is_made_has_it_made_again() -> None:
    made = Made()
    each = Pass("x", 3600.0, made)
    made.does = lambda: each.hint() if made.times == 1 else None
    for _ in range(3):
        each.make_if_due(LEADS)
    assert made.times == 2


@pytest.mark.usefixtures("clock")
def test_all_passes_are_made_at_once_when_a_process_begins_to_lead() -> None:
    lease: Any = Leading(leads=False, term=0)
    made = Made()
    each = Pass("x", 3600.0, made)
    for lease.leads, lease.term in ((False, 0), (True, 1), (True, 1), (False, 1), (True, 2)):
        each.make_if_due(lease)
    assert made.times == 2


def test_one_that_fails_or_hangs_or_is_slow_does_not_keep_the_others() -> None:
    never, fine = threading.Event(), Made()

    def fail() -> None:
        raise KeyError

    with looping(Pass("fails", 0, fail), Pass("hangs", 0, lambda: never.wait(20)), Pass("fine", 0, fine)):
        wait_until(lambda: fine.times > 20 and loops.failures().get("reconciler.fails", 0) > 5, "both", every=0.01)
        never.set()
    assert "reconciler.fine" not in {name for name, count in loops.failures().items() if count}


def test_one_that_takes_longer_than_it_may_is_seen_and_has_no_time_for_calls(clock: list[float]) -> None:
    def slowly() -> None:
        clock[0] += 11
        deadlines.check()

    with pytest.raises(TookTooLong, match="Pass x takes longer than its 10 s"):
        Pass("x", 1, slowly, budget_seconds=10).make_if_due(LEADS)

    def quietly() -> None:
        clock[0] += 11

    with pytest.raises(TookTooLong):
        Pass("x", 1, quietly, budget_seconds=10).make_if_due(LEADS)


def test_one_that_does_not_end_is_stuck_after_a_multiple_of_its_time(clock: list[float]) -> None:
    each = Pass("x", 1, lambda: None, budget_seconds=10)
    assert not each.is_stuck
    each.began_at = clock[0]
    clock[0] += 29
    assert not each.is_stuck
    clock[0] += 2
    assert each.is_stuck


def test_passes_that_do_the_same_work_take_turns() -> None:
    turns, at_once = threading.Lock(), [0, 0]

    def work() -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        deadlines.check()
        at_once[0] -= 1

    made = Made(does=work)
    with looping(*(Pass(name, 0, made, alone=turns) for name in "abc")):
        wait_until(lambda: made.times > 50, "fifty", every=0.01)
    assert at_once == [0, 1]


def test_a_missing_month_has_the_months_made() -> None:
    asked = threading.Event()

    def write() -> None:
        raise psycopg.errors.CheckViolation("no partition of relation found for row")

    with looping(Pass("x", 0, write), on_missing_month=asked.set):
        assert asked.wait(10)


def test_a_lease_that_was_lost_is_no_failure_of_the_pass() -> None:
    def write() -> None:
        raise LeaseLost

    made = Made(does=write)
    with looping(Pass("x", 0, made)):
        wait_until(lambda: made.times > 3, "it to go on", every=0.01)
    assert loops.failures() == {"reconciler.x": 0}

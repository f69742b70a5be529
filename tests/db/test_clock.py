"""A machine's clock that is set, or wrong, on a real PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from db.clock import Clock

HOUR = timedelta(hours=1)


class Machine:
    """Its clock may be set; its counter cannot."""

    def __init__(self, *, wrong_by: timedelta = timedelta(0)) -> None:
        self.wrong_by = wrong_by
        self.counted = 0.0

    def wall(self) -> datetime:
        return datetime.now(UTC) + self.wrong_by

    def clock(self) -> Clock:
        return Clock(wall=self.wall, counter=lambda: self.counted)


def differs(clock: Clock) -> float:
    """By how many seconds the clock is ahead of this machine's."""
    return (clock.now() - datetime.now(UTC)).total_seconds()


def test_before_it_is_compared_it_is_the_machines() -> None:
    assert differs(Machine(wrong_by=HOUR).clock()) == pytest.approx(3600, abs=1)


def test_a_clock_that_is_wrong_follows_postgresqls(session: Session) -> None:
    clock = Machine(wrong_by=-HOUR).clock()
    assert clock.compare(session) == pytest.approx(HOUR, abs=timedelta(seconds=1))
    assert differs(clock) == pytest.approx(0, abs=1)


def test_a_clock_that_is_nearly_right_is_finer_than_a_comparison(session: Session) -> None:
    clock = Machine(wrong_by=timedelta(seconds=0.5)).clock()
    clock.compare(session)
    assert differs(clock) == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_clock_that_is_set_is_not_noticed_between_two_comparisons(session: Session, jump: timedelta) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.compare(session)
    before = clock.now()
    machine.wrong_by += jump
    machine.counted += 2.5
    assert clock.now() - before == timedelta(seconds=2.5)
    assert abs(clock.compare(session)) < timedelta(seconds=5), "PostgreSQL's clock goes on as before"

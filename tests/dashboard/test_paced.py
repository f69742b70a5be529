"""What is dear to read is read the more seldom."""

import threading

import pytest

from dashboard.paced import FRESH_SECONDS, MOST_OF_A_CORE, Answer, Paced
from tests.waiting import wait_until


class World:
    """A clock that reading moves."""

    def __init__(self, takes_seconds: float) -> None:
        self.time, self.reads, self.takes_seconds = 0.0, 0, takes_seconds
        self.paced = Paced(self.read, clock=lambda: self.time)

    def read(self) -> int:
        self.reads += 1
        self.time += self.takes_seconds
        return self.reads


def test_what_has_not_changed_is_not_read_again_until_it_is_old() -> None:
    world = World(takes_seconds=0)
    assert [world.paced.get("a"), world.paced.get("a")] == [Answer(1), Answer(1)]
    world.time += FRESH_SECONDS
    assert world.paced.get("a") == Answer(2)


def test_what_is_cheap_is_read_at_each_change() -> None:
    world = World(takes_seconds=0)
    assert [world.paced.get(token).value for token in "abc"] == [1, 2, 3]


def test_what_is_dear_takes_a_twentieth_of_the_time_at_most() -> None:
    world = World(takes_seconds=0.1)
    assert world.paced.get("a") == Answer(1)
    world.time += 0.1 / MOST_OF_A_CORE - 0.01
    assert world.paced.get("b") == Answer(1, pytest.approx(0.01))  # type: ignore[arg-type]
    world.time += 0.02
    assert world.paced.get("b") == Answer(2)


def test_who_is_not_to_wait_gets_the_last_answer_while_it_is_read_again() -> None:
    may_read = threading.Event()
    reads = iter(range(1, 10))

    def read() -> int:
        number = next(reads)
        assert number == 1 or may_read.wait(10)
        return number

    paced = Paced(read, keeps_nobody_waiting=True, pause_at_most_seconds=0)
    assert paced.get("a") == Answer(1)
    assert paced.get("b").value == 1
    may_read.set()
    wait_until(lambda: paced.get("b") == Answer(2), "the new answer")


def test_nothing_is_left_unread_for_too_long() -> None:
    world = World(takes_seconds=10)
    assert world.paced.get("a") == Answer(1)
    world.time += 2
    assert world.paced.get("b") == Answer(2)


def test_many_who_ask_at_once_cause_one_read() -> None:
    together = threading.Barrier(8)
    world = World(takes_seconds=1)
    found: list[int] = []

    def ask() -> None:
        together.wait()
        found.append(world.paced.get("a").value)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 8

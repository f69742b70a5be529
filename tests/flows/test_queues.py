"""A queue in batches: what nobody takes stands aside alone, and nothing else is dropped, whatever is raised."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors

from db.errors import CatalogueUnavailable
from db.prefect_answers import PrefectRefused, PrefectUnavailable
from flows.queues import BatchQueue

AWAY = CatalogueUnavailable()
ANSWERS_500 = PrefectUnavailable("The Prefect server answers 500", answered=True)
REFUSED = PrefectRefused("no", status=422)
REFUSED_BY_POSTGRESQL = errors.DataError("no")
NOBODY_KNOWS = errors.UndefinedTable("no")


@dataclass
class Receiver:
    """Takes numbers, but for some of them, and remembers in which order."""

    refuses: Callable[[Sequence[int]], Exception | None] = lambda _: None
    taken: list[int] = field(default_factory=list)
    calls: int = 0

    async def __call__(self, batch: Sequence[int]) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if error := self.refuses(batch):
            raise error
        self.taken += batch


def against(poisoned: set[int], error: Exception) -> Callable[[Sequence[int]], Exception | None]:
    return lambda batch: error if poisoned & set(batch) else None


def a_queue(receiver: Receiver, items: Sequence[int], *, at_most: int = 100) -> "BatchQueue[int]":
    """A negative number takes the place of one that is never taken."""
    queue = BatchQueue("x", receiver, at_most=at_most, set_aside=lambda item, _: -item, size=lambda _: 10)
    for item in items:
        queue.append(item)
    return queue


async def emptied(queue: "BatchQueue[int]", *, at_most: int = 40) -> None:
    """As a loop does it: again after each failure."""
    for _ in range(at_most):
        with suppress(Exception):
            await queue.empty()


@given(st.integers(1, 60), st.sets(st.integers(1, 60), max_size=5), st.integers(1, 30))
def test_those_that_are_refused_are_replaced_and_all_others_arrive_in_their_order(
    count: int, poisoned: set[int], at_most: int
) -> None:
    for error in (REFUSED, REFUSED_BY_POSTGRESQL):
        receiver = Receiver(against(poisoned, error))
        queue = a_queue(receiver, range(1, count + 1), at_most=at_most)
        asyncio.run(queue.empty())
        assert receiver.taken == [-n if n in poisoned else n for n in range(1, count + 1)]
        assert (len(queue), queue.total) == (0, 0)


@pytest.mark.parametrize("error", [ANSWERS_500, NOBODY_KNOWS], ids=["500", "nobody knows"])
def test_an_error_that_nobody_knows_is_blamed_on_one_item_where_others_are_taken(error: Exception) -> None:
    receiver = Receiver(against({7}, error))
    queue = a_queue(receiver, range(1, 20))
    asyncio.run(emptied(queue))
    assert sorted(receiver.taken, key=abs) == [n if n != 7 else -7 for n in range(1, 20)]


@pytest.mark.parametrize("error", [AWAY, ANSWERS_500, NOBODY_KNOWS], ids=["away", "500", "nobody knows"])
def test_nothing_is_dropped_while_nothing_is_taken_and_all_arrives_afterwards(error: Exception) -> None:
    receiver = Receiver(lambda _: error)
    queue = a_queue(receiver, range(1, 20))

    async def story() -> None:
        await emptied(queue)
        assert (receiver.taken, len(queue), queue.total) == ([], 19, 190)
        receiver.refuses = lambda _: None
        await queue.empty()

    asyncio.run(story())
    assert receiver.taken == list(range(1, 20))


def test_a_poisoned_item_costs_a_few_calls_and_not_one_for_each_of_its_neighbours() -> None:
    receiver = Receiver(against({777}, REFUSED))
    asyncio.run(a_queue(receiver, range(1, 1001), at_most=1000).empty())
    assert receiver.calls < 30


def test_a_batch_is_no_larger_than_what_gets_through_in_its_time() -> None:
    sizes: list[int] = []
    receiver = Receiver(lambda batch: sizes.append(sum(batch)))
    queue = BatchQueue("x", receiver, at_most=100, set_aside=lambda item, _: item, size=lambda item: item, most=10)
    for item in (3, 3, 3, 3, 50, 1, 9, 1):
        queue.append(item)
    asyncio.run(queue.empty())
    assert receiver.taken == [3, 3, 3, 3, 50, 1, 9, 1]
    assert sizes == [12, 50, 10, 1]


def test_what_takes_the_place_of_a_refused_item_may_be_nothing() -> None:
    receiver = Receiver(against({2, -2}, REFUSED))
    queue = BatchQueue("x", receiver, at_most=10, set_aside=lambda item, _: None if item < 0 else -item)
    for item in (1, 2, 3):
        queue.append(item)
    asyncio.run(queue.empty())
    assert receiver.taken == [1, 3]


def test_a_call_that_is_cancelled_leaves_its_batch_in_the_queue() -> None:
    receiver, begun = Receiver(), asyncio.Event()

    async def hang(_: Sequence[int]) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def story() -> None:
        queue = a_queue(receiver, [1, 2, 3])
        queue._put = hang
        emptying = asyncio.ensure_future(queue.empty())
        await begun.wait()
        emptying.cancel()
        await asyncio.gather(emptying, return_exceptions=True)
        queue._put = receiver
        await queue.empty()

    asyncio.run(story())
    assert receiver.taken == [1, 2, 3]


def test_the_oldest_go_first_where_there_are_too_many_but_not_those_on_their_way() -> None:
    async def story() -> list[int]:
        receiver = Receiver()
        queue = a_queue(receiver, range(1, 11), at_most=3)
        emptying = asyncio.ensure_future(queue.empty())
        await asyncio.sleep(0)
        assert queue.shorten(most=50) == 5
        await emptying
        return receiver.taken

    assert asyncio.run(story()) == [1, 2, 3, 9, 10]

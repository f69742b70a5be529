import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import DBAPIError

from db.errors import CatalogueUnavailable
from flows.grouping import Grouped
from tests.db.test_sqlstates import raised


class Doubling:
    """Doubles numbers, remembers in which company, and fails for some."""

    def __init__(self, *, refuses: frozenset[int] = frozenset(), away: bool = False) -> None:
        self.batches: list[list[int]] = []
        self._refuses, self._away = refuses, away

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(numbers))
        await asyncio.sleep(0)
        if self._away:
            raise CatalogueUnavailable
        if refused := self._refuses & set(numbers):
            raise ValueError(refused)
        return [number * 2 for number in numbers]


def test_what_comes_while_a_call_is_under_way_is_made_together() -> None:
    async def scenario() -> tuple[list[int], list[list[int]]]:
        doubling = Doubling()
        double = Grouped("double", doubling, at_most=3)
        return list(await asyncio.gather(*(double(number) for number in range(7)))), doubling.batches

    answers, batches = asyncio.run(scenario())
    assert answers == [0, 2, 4, 6, 8, 10, 12]
    assert batches == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("state", ["55P03", "57014"])
def test_one_that_somebody_has_locked_holds_up_itself_alone(state: str) -> None:
    async def together(numbers: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        if 7 in numbers:
            raise CatalogueUnavailable("It is locked") from DBAPIError("SELECT", None, raised(state))
        return numbers

    async def scenario() -> list[int | BaseException]:
        same = Grouped("same", together, at_most=50)
        return list(await asyncio.gather(*(same(number) for number in range(20)), return_exceptions=True))

    answers = asyncio.run(scenario())
    assert isinstance(answers.pop(7), CatalogueUnavailable)
    assert answers == [number for number in range(20) if number != 7]


def test_one_alone_goes_at_once_and_so_does_the_next() -> None:
    async def scenario() -> list[list[int]]:
        doubling = Doubling()
        double = Grouped("double", doubling, at_most=3)
        assert [await double(1), await double(2)] == [2, 4]
        return doubling.batches

    assert asyncio.run(scenario()) == [[1], [2]]


def test_the_error_of_one_is_its_own() -> None:
    async def scenario() -> list[int | BaseException]:
        double = Grouped("double", Doubling(refuses=frozenset({2})), at_most=10)
        return await asyncio.gather(*(double(number) for number in range(4)), return_exceptions=True)

    answers = asyncio.run(scenario())
    assert [answer for answer in answers if isinstance(answer, int)] == [0, 2, 6]
    assert isinstance(answers[2], ValueError)


def test_one_that_fails_costs_its_neighbours_a_few_calls_and_not_one_each() -> None:
    async def scenario() -> int:
        doubling = Doubling(refuses=frozenset({37}))
        double = Grouped("double", doubling, at_most=64)
        answers = await asyncio.gather(*(double(number) for number in range(64)), return_exceptions=True)
        assert sum(isinstance(answer, int) for answer in answers) == 63
        return len(doubling.batches)

    assert asyncio.run(scenario()) <= 2 * 6 + 1


def test_who_waits_gets_an_answer_also_where_the_call_is_cancelled_under_way() -> None:
    async def scenario() -> list[int | BaseException]:
        double = Grouped("double", Doubling(), at_most=1)
        callers = [asyncio.ensure_future(double(number)) for number in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert double._working is not None
        double._working.cancel()
        return await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 10)

    first, *others = asyncio.run(scenario())
    assert isinstance(first, CatalogueUnavailable)
    assert others == [2, 4]


def test_while_the_catalogue_is_away_everybody_hears_it_and_nothing_is_tried_one_by_one() -> None:
    async def scenario() -> tuple[list[int | BaseException], int]:
        doubling = Doubling(away=True)
        double = Grouped("double", doubling, at_most=10)
        answers = await asyncio.gather(*(double(number) for number in range(4)), return_exceptions=True)
        return answers, len(doubling.batches)

    answers, calls = asyncio.run(scenario())
    assert all(isinstance(answer, CatalogueUnavailable) for answer in answers)
    assert calls == 1


def test_whoever_is_cancelled_before_its_turn_is_left_out() -> None:
    async def scenario() -> list[list[int]]:
        doubling = Doubling()
        double = Grouped("double", doubling, at_most=1)
        first, second, third = (asyncio.create_task(double(number)) for number in range(3))
        await asyncio.sleep(0)
        second.cancel()
        assert await first == 0
        assert await third == 4
        with pytest.raises(asyncio.CancelledError):
            await second
        return doubling.batches

    assert asyncio.run(scenario()) == [[0], [2]]

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from flows.slots import Order, Slots

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def order(minute: int, *, priority: int = 1) -> Order:
    return priority, NOON + timedelta(minutes=minute)


async def served(slots: Slots, orders: list[Order]) -> list[Order]:
    """The orders in which they were served that all waited for one slot."""
    found: list[Order] = []

    async def wait(own: Order) -> None:
        async with slots.one(own):
            found.append(own)

    async with slots.one(order(0)):
        waiting = [asyncio.create_task(wait(one)) for one in orders]
        await asyncio.sleep(0)
        assert found == []
    await asyncio.gather(*waiting)
    return found


def test_the_queue_with_priority_goes_first_and_then_what_is_due_first() -> None:
    late_but_urgent, first, second = order(9), order(1, priority=2), order(5, priority=2)
    assert asyncio.run(served(Slots(1), [second, first, late_but_urgent])) == [late_but_urgent, first, second]


def test_equals_are_served_as_they_came_and_nobody_gets_more_than_there_is() -> None:
    async def most_at_once() -> int:
        slots, inside, most = Slots(3), 0, 0

        async def work() -> None:
            nonlocal inside, most
            async with slots.one(order(1)):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(work() for _ in range(20)))
        return most

    assert asyncio.run(most_at_once()) == 3


@pytest.mark.parametrize("already_given", [False, True])
def test_whoever_is_cancelled_while_it_waits_takes_no_slot_with_it(already_given: bool) -> None:
    async def scenario() -> None:
        slots = Slots(1)

        async def wait() -> None:
            async with slots.one(order(1)):
                raise AssertionError("it was cancelled")

        async with slots.one(order(0)):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            if not already_given:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
        if already_given:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(1), slots.one(order(2)):
            pass

    asyncio.run(scenario())


def test_who_is_cancelled_while_it_waits_is_told_so_and_takes_no_slot() -> None:
    async def scenario() -> None:
        slots, unless = Slots(1), asyncio.Event()

        async def wait() -> bool:
            async with slots.one(order(1), unless=unless) as has_slot:
                return has_slot

        async with slots.one(order(0)):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            unless.set()
            assert not await asyncio.wait_for(waiting, 10)
            assert not slots.is_wanted
        assert await asyncio.wait_for(wait(), 10), "there is one, so that nobody has to wait"

    asyncio.run(scenario())

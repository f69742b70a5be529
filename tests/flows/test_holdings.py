"""What a worker holds leaves it whatever becomes of it, at whatever moment."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from db.claims import Offer
from db.states import Trigger
from flows.holdings import Held, Holdings
from flows.prefect_server import Offered
from flows.records import now


class NeverDue:
    """Stands for what is not asked before a run is due."""

    claimant = None


def holdings() -> Holdings:
    nobody = cast("Any", NeverDue())
    return Holdings(records=nobody, logbook=nobody, teller=nobody, slots=1, room_made=lambda: None)


@pytest.mark.parametrize("steps", range(4))
def test_what_is_let_go_of_is_not_held_any_more_however_little_of_it_was_begun(steps: int) -> None:
    async def main() -> None:
        held = holdings()
        offer = Offer(uuid4(), uuid4(), now() + timedelta(hours=1), Trigger.SCHEDULE)
        for _ in range(3):
            held.take([Offered(offer, {}, 0)])
            for _ in range(steps):
                await asyncio.sleep(0)
            held.let_go(held.waiting())
            await asyncio.wait_for(held.wait_for_all(), 10)
            assert held.held == set(), "or it would never be taken again"

    asyncio.run(main())


def test_what_waits_is_handed_back_at_once_at_the_end() -> None:
    async def main() -> None:
        held = holdings()
        offers = [Offer(uuid4(), uuid4(), now() + timedelta(hours=1), Trigger.SCHEDULE) for _ in range(3)]
        held.take([Offered(offer, {}, 0) for offer in offers])
        await asyncio.wait_for(held.wind_down(60), 10)
        assert held.held == set()

    asyncio.run(main())


@pytest.mark.parametrize("is_over", [True, False])
def test_an_end_that_is_being_noted_is_noted_as_it_is_also_where_everything_is_killed(is_over: bool) -> None:
    async def main() -> str:
        held, noted = holdings(), asyncio.Event()
        one = Held(Offer(uuid4(), uuid4(), now(), Trigger.SCHEDULE), {}, (1, now()), claimed=True)
        one.execution = cast("Any", SimpleNamespace(is_over=is_over))

        async def note() -> str:
            try:
                await noted.wait()
            except asyncio.CancelledError:
                return "killed"
            return "noted"

        one.task = cast("Any", asyncio.create_task(note()))
        held._held[one.offer.run_id] = one
        await asyncio.sleep(0)
        killing = asyncio.create_task(held.kill_all())
        await asyncio.sleep(0)
        noted.set()
        await asyncio.wait_for(killing, 10)
        return str(await cast("Any", one.task))

    assert asyncio.run(main()) == ("noted" if is_over else "killed")

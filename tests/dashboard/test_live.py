"""Hints on their way from the catalogue to whoever waits for them."""

import asyncio
from collections.abc import Iterator

import pytest

from dashboard.live import Hub
from db.engine import Catalogue
from db.notifications import Topic, notify
from tests.waiting import wait_until


@pytest.fixture
def hub(catalogue: Catalogue) -> Iterator[Hub]:
    hub = Hub(catalogue.url)
    hub.start()
    wait_until(lambda: hub.connected, "the hub listens")
    yield hub
    hub.stop()


def hint(catalogue: Catalogue, *topics: str) -> None:
    with catalogue.transaction() as session:
        notify(session, topics)


def test_a_subscription_hears_of_its_topics_and_of_no_others(hub: Hub, catalogue: Catalogue) -> None:
    async def hear() -> tuple[frozenset[str], frozenset[str]]:
        with hub.subscription(["runs:1"]) as mine:
            await asyncio.to_thread(hint, catalogue, "runs", "runs:2")
            nothing = await mine.changes(within_seconds=0.5)
            await asyncio.to_thread(hint, catalogue, "runs", "runs:1")
            return nothing, await mine.changes(within_seconds=5)

    assert asyncio.run(hear()) == (frozenset(), frozenset({"runs:1"}))


def test_many_hints_between_two_looks_are_one_change(hub: Hub, catalogue: Catalogue) -> None:
    async def hear() -> tuple[frozenset[str], frozenset[str]]:
        with hub.subscription([Topic.TASKS, Topic.RUNS]) as mine, hub.subscription(["last"]) as last:
            for _ in range(20):
                await asyncio.to_thread(hint, catalogue, Topic.TASKS)
            await asyncio.to_thread(hint, catalogue, Topic.RUNS)
            await asyncio.to_thread(hint, catalogue, "last")
            await last.changes(within_seconds=5)
            return await mine.changes(within_seconds=5), await mine.changes(within_seconds=0.2)

    assert asyncio.run(hear()) == (frozenset({Topic.TASKS, Topic.RUNS}), frozenset())


def test_a_token_changes_with_its_topic_only(hub: Hub, catalogue: Catalogue) -> None:
    tasks, runs = hub.token(Topic.TASKS), hub.token(Topic.RUNS)
    hint(catalogue, Topic.TASKS)
    wait_until(lambda: hub.token(Topic.TASKS) != tasks, "the token of the tasks changes")
    assert hub.token(Topic.RUNS) == runs


def test_what_came_before_a_subscription_can_be_known(hub: Hub, catalogue: Catalogue) -> None:
    known = hub.count(["runs:1", "tasks:2"])
    hint(catalogue, Topic.LOGS, "logs:1")
    hint(catalogue, Topic.RUNS, "runs:7")
    wait_until(lambda: hub.count(["runs:1", "tasks:2"]) == known + 1, "a hint about a run is counted")

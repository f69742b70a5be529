"""What passes read of Prefect's runs: news in full, the rest by a count."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from db import claims, workers
from db.claims import Claimant, Claimed, Offer
from db.states import Trigger
from reconciler.prefect import FlowRun
from reconciler.sight import Sight
from tests.reconciler.conftest import World, now

pytestmark = pytest.mark.xdist_group("prefect")


def due_in(world: World, seconds: float, name: str) -> Any:
    at = (now() + timedelta(seconds=seconds)).isoformat()
    return world.deployed(name, schedule={"kind": "once", "at": at})


def read_by(world: World) -> list[FlowRun]:
    """The runs that Prefect has to give us from now on."""
    read: list[FlowRun] = []
    ask = world.prefect.flow_runs

    def noted(*args: Any, **kwargs: Any) -> list[FlowRun]:
        found = ask(*args, **kwargs)
        read.extend(found)
        return found

    world.prefect.flow_runs = noted  # type: ignore[method-assign]
    return read


def test_a_run_that_was_seen_is_not_read_again_and_a_new_one_is(world: World) -> None:
    due_in(world, 12, "first")
    sight = Sight(world.catalogue, world.prefect)
    [first] = sight.upcoming(now=now())
    read = read_by(world)
    assert sight.upcoming(now=now()) == [first]
    assert read == []
    due_in(world, 15, "second")
    read.clear()
    both = sight.upcoming(now=now())
    assert len(both) == 2
    assert len(read) == 1


def test_a_run_that_is_deleted_or_cancelled_in_prefect_is_missed_at_once(world: World) -> None:
    for n in range(3):
        due_in(world, 12 + n, f"task {n}")
    sight = Sight(world.catalogue, world.prefect)
    deleted, cancelled, kept = sight.upcoming(now=now())
    world.call("DELETE", f"/flow_runs/{deleted.id}")
    assert [run.id for run in sight.upcoming(now=now())] == [cancelled.id, kept.id]
    state = {"type": "CANCELLED", "name": "Cancelled"}
    world.call("POST", f"/flow_runs/{cancelled.id}/set_state", {"state": state, "force": True})
    assert [run.id for run in sight.upcoming(now=now())] == [kept.id]
    assert cancelled.id in {run.id for run in sight.recent(since=now() - timedelta(minutes=1))}


def test_what_our_worker_claimed_is_neither_upcoming_nor_read_when_it_ends(world: World) -> None:
    due_in(world, 1, "ours")
    sight = Sight(world.catalogue, world.prefect)
    [run] = sight.upcoming(now=now())
    claim(world, run)
    read = read_by(world)
    assert sight.upcoming(now=now()) == []
    world.call("POST", f"/flow_runs/{run.id}/set_state", {"state": {"type": "COMPLETED"}, "force": True})
    assert sight.recent(since=now() - timedelta(minutes=1)) == []
    assert read == []


def claim(world: World, run: FlowRun) -> None:
    worker, deployment_id = Claimant(uuid4(), "w1"), run.deployment_id
    assert isinstance(deployment_id, UUID)
    with world.catalogue.transaction() as session:
        workers.register(
            session, worker_id=worker.id, name=worker.name, work_pool="default", host="here", pid=1, now=now()
        )
        offer = Offer(run.id, deployment_id, run.expected_start_time, Trigger.SCHEDULE)
        assert isinstance(claims.claim(session, offer, worker, now=run.expected_start_time), Claimed)

"""A task that follows another one: asked for once for each run that ends so, and never in a circle."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from db import chains, claims, run_requests, runs, tasks
from db.chains import BACK
from db.claims import Claimed, NotYet, Offer
from db.engine import Catalogue
from db.run_requests import OpenRequest
from db.runs import Ending, RunKey
from db.specs import InvalidTask, as_document, parse_task
from db.states import After, RunState, Trigger
from db.tables import RunRequest, TaskStatus
from db.task_views import get_task
from tests.db.conftest import NOW, a_worker, document, seconds
from tests.waiting import until_told


class Works:
    """A catalogue in which runs end."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def task(self, name: str, *after: tuple[UUID, After], **changes: Any) -> UUID:
        upstream = [{"task_id": str(task), "on": on} for task, on in after]
        spec = parse_task(document(name=name, schedule={"kind": "manual"}, after=upstream, **changes))
        with self.catalogue.transaction() as session:
            return tasks.create_task(session, spec, actor="ada", now=NOW)

    def follow(self, task: UUID, *after: tuple[UUID, After]) -> None:
        with self.catalogue.transaction() as session:
            before = get_task(session, task, now=NOW)
            upstream = [{"task_id": str(one), "on": on} for one, on in after]
            spec = parse_task({**as_document(before.spec), "after": upstream})
            tasks.replace_task(session, task, spec, seen_version=before.version, actor="ada", now=NOW)

    def run(self, task: UUID, state: RunState, trigger: Trigger = Trigger.MANUAL) -> RunKey:
        key = RunKey(uuid4(), NOW)
        given = {"task_id": task, "task_name": "x", "task_version": 1, "trigger": trigger.value, "state": "pending"}
        with self.catalogue.transaction() as session:
            runs.insert_run(session, key, **given, attempt=1, reported=True)
        with self.catalogue.transaction() as session:
            runs.end_unclaimed(session, key, Ending(state, NOW + seconds(1)))
        return key

    def asked(self) -> list[tuple[str, UUID | None]]:
        """Who follows, after which run."""
        until_told(self.catalogue)
        with self.catalogue.transaction() as session:
            chains.follow(session, now=NOW)
        found: Sequence[OpenRequest]
        with self.catalogue.transaction() as session:
            found = run_requests.open_requests(session, now=NOW)
            return sorted((one.task_name, _after(session, one.id)) for one in found)


def _after(session: Any, request: UUID) -> UUID | None:
    row = session.get(RunRequest, request)
    return row.after_run_id if row else None


@pytest.fixture
def works(catalogue: Catalogue) -> Works:
    return Works(catalogue)


def test_each_end_is_followed_by_who_waits_for_it_once(works: Works) -> None:
    first = works.task("first")
    for on in After:
        works.task(f"on {on}", (first, on))
    good, bad = works.run(first, RunState.COMPLETED), works.run(first, RunState.TIMED_OUT)
    expected = sorted(
        [("on finished", good.id), ("on finished", bad.id), ("on succeeded", good.id), ("on failed", bad.id)]
    )
    assert works.asked() == expected
    assert works.asked() == expected, "and not again"


@pytest.mark.parametrize("at_most", [0, 1, 2, 3, 100])
def test_after_a_long_absence_each_end_is_followed_in_its_turn(
    works: Works, at_most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "ENDED_AT_ONCE", at_most)
    first = works.task("first")
    works.task("next", (first, After.FINISHED))
    ended = [works.run(first, RunState.COMPLETED) for _ in range(5)]
    rounds = [len(works.asked()) for _ in range(12)]
    assert rounds == sorted(rounds)
    assert rounds[0] == min(max(at_most, 1), 5) or at_most == 0
    assert works.asked() == sorted(("next", key.id) for key in ended)


@pytest.mark.parametrize("state", [RunState.CANCELLED])
def test_what_was_cancelled_is_not_followed(works: Works, state: RunState) -> None:
    first = works.task("first")
    works.task("next", (first, After.FINISHED))
    works.run(first, state)
    works.run(first, RunState.COMPLETED, Trigger.TEST)
    assert works.asked() == []


def test_who_is_paused_or_in_the_trash_does_not_follow(works: Works) -> None:
    first = works.task("first")
    works.task("paused", (first, After.FINISHED), paused=True)
    gone = works.task("gone", (first, After.FINISHED))
    with works.catalogue.transaction() as session:
        tasks.delete_task(session, gone, actor="ada", now=NOW)
    works.run(first, RunState.COMPLETED)
    assert works.asked() == []


def test_what_happened_before_it_followed_is_not_caught_up_with(works: Works) -> None:
    first = works.task("first")
    works.run(first, RunState.COMPLETED)
    assert works.asked() == []
    works.task("next", (first, After.FINISHED))
    assert works.asked() == []


def test_the_run_is_known_to_whoever_executes_it(works: Works) -> None:
    first = works.task("first")
    works.task("next", (first, After.SUCCEEDED))
    key = works.run(first, RunState.COMPLETED)
    works.asked()
    run_id = uuid4()
    with works.catalogue.transaction() as session:
        (request,) = run_requests.open_requests(session, now=NOW)
        assert request.trigger == Trigger.CHAIN
        run_requests.fulfil(session, request, run_id)
    with works.catalogue.transaction() as session:
        cause = chains.cause_of(session, run_id)
        assert cause is not None
        assert (cause.run_id, cause.due_at, cause.state) == (key.id, key.due_at, RunState.COMPLETED)
        assert chains.followers_of(session, key.id) == [run_id]


def test_nobody_follows_themselves_or_somebody_who_is_not_there(works: Works) -> None:
    first = works.task("first")
    second = works.task("second", (first, After.SUCCEEDED))
    third = works.task("third", (second, After.FAILED))
    with pytest.raises(InvalidTask) as refused:
        works.follow(first, (third, After.FINISHED))
    assert refused.value.errors[0].message == BACK.format(names="first, then second, then third")
    with pytest.raises(InvalidTask, match="would follow itself"):
        works.follow(first, (first, After.FINISHED))
    with pytest.raises(InvalidTask, match="There is no such task"):
        works.task("fourth", (uuid4(), After.FINISHED))
    works.follow(first)
    with works.catalogue.transaction() as session:
        view = get_task(session, second, now=NOW)
        found = chains.chain_of(session, second, view.spec)
    assert [(one.name, one.on) for one in found.before] == [("first", After.SUCCEEDED)]
    assert [(one.name, one.on) for one in found.after] == [("third", After.FAILED)]


def test_two_that_begin_to_follow_each_other_at_once_do_not_both(works: Works) -> None:
    one, other = works.task("one"), works.task("other")

    def follow(pair: tuple[UUID, UUID]) -> bool:
        try:
            works.follow(pair[0], (pair[1], After.FINISHED))
        except InvalidTask:
            return False
        return True

    with ThreadPoolExecutor(2) as both:
        assert sorted(both.map(follow, [(one, other), (other, one)])) == [False, True]


def test_a_worker_that_hears_of_it_early_waits_until_it_is_noted_and_until_what_goes_on_is_over(works: Works) -> None:
    first = works.task("first")
    second = works.task("next", (first, After.SUCCEEDED))
    deployment, run_id = uuid4(), uuid4()
    with works.catalogue.transaction() as session:
        session.get_one(TaskStatus, second).deployment_id = deployment
    works.run(first, RunState.COMPLETED)
    works.asked()
    offer = Offer(run_id, deployment, NOW, Trigger.CHAIN)
    with works.catalogue.transaction() as session:
        worker = a_worker(session)
        assert claims.claim(session, offer, worker, now=NOW + seconds(1)) == NotYet()
        (request,) = run_requests.open_requests(session, now=NOW)
        run_requests.fulfil(session, request, run_id)
        assert isinstance(claims.claim(session, offer, worker, now=NOW + seconds(1)), Claimed)

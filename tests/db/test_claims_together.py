"""What is claimed, and ended, together comes out as if each had been alone."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import product
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import claims, finishes, runs, sync, tasks, workers
from db.claims import Claimant, Claimed, NotYet, Offer, StandDown, Wanted
from db.finishes import Finish
from db.runs import Ending, RunKey
from db.states import Misfire, Outcome, Overlap, Reason, RunState, Trigger
from db.tables import DueTime, Run, TaskStatus
from tests.db.conftest import MANUAL, NOW, a_run, a_worker, an_offer, claim_at, create, deployed, ledger, minutes

FIRST, SECOND, THIRD = (NOW + minutes(count) for count in (1, 2, 3))
LATER = NOW + minutes(10)


def wanted(offers: Sequence[Offer]) -> list[Wanted]:
    return [Wanted(offer, NOW) for offer in offers]


def a_crowd(session: Session) -> list[Offer]:
    """Offers of tasks in every state that a claim tells apart, some of them for the same task."""
    offers: list[Offer] = []
    for overlap, misfire, running in product(Overlap, Misfire, (False, True)):
        name = f"{overlap} {misfire} {running}"
        task_id = deployed(session, name=name, overlap=overlap, misfire=misfire)
        if running:
            claim_at(session, task_id, FIRST)
        offers += [an_offer(session, task_id, at) for at in (FIRST, SECOND, THIRD)]
        offers.append(an_offer(session, task_id, SECOND))
    paused = deployed(session, name="paused", paused=True)
    gone = deployed(session, name="gone")
    offers += [an_offer(session, task_id, FIRST) for task_id in (paused, gone)]
    tasks.delete_task(session, gone, actor="anna", now=NOW)
    manual = deployed(session, name="manual", schedule=MANUAL)
    asked = a_run(session, manual, SECOND, trigger=Trigger.MANUAL)
    offers.append(Offer(asked.id, an_offer(session, manual, SECOND).deployment_id, SECOND, Trigger.MANUAL))
    offers.append(an_offer(session, manual, SECOND, Trigger.RERUN))
    offers.append(an_offer(session, manual, THIRD, Trigger.PREFECT))
    offers.append(an_offer(session, deployed(session, name="not due"), FIRST + minutes(0.5)))
    offers.append(Offer(uuid4(), uuid4(), FIRST, Trigger.SCHEDULE))
    return offers


def seen(session: Session) -> list[Any]:
    """Everything that claims and ends write."""
    due = select(DueTime.task_id, DueTime.due_at, DueTime.outcome, DueTime.reason, DueTime.run_id, DueTime.started_at)
    run = select(Run.id, Run.state, Run.trigger, Run.task_version, Run.started_at, Run.ended_at, Run.error, Run.attempt)
    last = select(TaskStatus.task_id, TaskStatus.last_run_id, TaskStatus.last_due_at, TaskStatus.last_state)
    cancelled = select(Run.id, Run.cancel_requested_at, Run.reported, Run.held_at, Run.noted_at)
    return [set(session.execute(query).tuples()) for query in (due, run, last, cancelled)]


def tried(session: Session, work: Callable[[], Any]) -> tuple[Any, list[Any]]:
    """What the work answers and leaves behind; it is rolled back."""
    attempt = session.begin_nested()
    answer = work()
    session.flush()
    left = seen(session)
    attempt.rollback()
    session.expire_all()
    return answer, left


@pytest.mark.parametrize("now", [SECOND, THIRD, LATER])
@pytest.mark.parametrize("seed", range(3))
def test_claims_made_together_are_the_claims_made_one_by_one(session: Session, now: datetime, seed: int) -> None:
    offers = a_crowd(session)
    Random(seed).shuffle(offers)
    worker = a_worker(session)

    def alone() -> dict[UUID, Any]:
        return {offer.run_id: claims.claim(session, offer, worker, now=now, held_at=NOW) for offer in offers}

    def together() -> dict[UUID, Any]:
        return claims.claim_many(session, wanted(offers), worker, clock=lambda: now)

    one_by_one, left = tried(session, alone)
    at_once, left_together = tried(session, together)
    assert at_once == one_by_one
    assert left_together == left
    assert {type(answer) for answer in at_once.values()} >= {Claimed, StandDown, NotYet}


def test_the_clock_is_asked_once_the_tasks_are_held(session: Session) -> None:
    task_id = deployed(session)
    held: list[bool] = []

    def clock() -> datetime:
        locked = "SELECT count(*) FROM pg_locks WHERE relation = 'tasks'::regclass AND mode = 'RowShareLock'"
        held.append(bool(session.connection().exec_driver_sql(locked).scalar()))
        return FIRST

    claims.claim_many(session, wanted([an_offer(session, task_id, FIRST)]), a_worker(session), clock=clock)
    assert held == [True]


def test_a_worker_that_was_declared_lost_gets_nothing(session: Session) -> None:
    worker = a_worker(session)
    workers.stop(session, worker.id, now=NOW)
    offers = [an_offer(session, deployed(session, name=name), FIRST) for name in ("a", "b")]
    answers = claims.claim_many(session, wanted(offers), worker, clock=lambda: FIRST)
    assert list(answers.values()) == [NotYet(), NotYet()]


def some_claimed(session: Session, worker: Claimant) -> list[tuple[Claimed, Ending]]:
    """Runs of several tasks, two of one, and how each ends."""
    ends = [RunState.COMPLETED, RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED, RunState.CRASHED]
    found = []
    for number, state in enumerate(ends * 2):
        task_id = create(session, name=f"task {number}", overlap="allow", on_crash="rerun" if number > 4 else "fail")
        sync.record_synced(session, task_id, version=1, deployment_id=uuid4(), applied=None)
        for due_at in (FIRST, SECOND):
            answer = claims.claim(session, an_offer(session, task_id, due_at), worker, now=SECOND)
            assert isinstance(answer, Claimed)
            error = None if state is RunState.COMPLETED else f"It is {state}."
            found.append((answer, Ending(state, SECOND + minutes(number), exit_code=number, error=error)))
    return found


def test_ends_noted_together_are_the_ends_noted_one_by_one(session: Session) -> None:
    worker, other = a_worker(session), a_worker(session, "w2")
    ending = some_claimed(session, worker)
    ends = [Finish(claimed.key, claimed.task_id, worker.id, end) for claimed, end in ending]
    # Two that are not this worker's to end: one of somebody else, one that is not there.
    ends.append(Finish(ending[0][0].key, ending[0][0].task_id, other.id, ending[0][1]))
    ends.append(Finish(RunKey(uuid4(), FIRST), ending[0][0].task_id, worker.id, ending[0][1]))

    def alone() -> list[bool]:
        return [runs.finish(session, one.key, one.ending, worker_id=one.worker_id, noted_at=LATER) for one in ends]

    def together() -> list[bool]:
        return finishes.finish_many(session, ends, clock=lambda: LATER)

    one_by_one, left = tried(session, alone)
    at_once, left_together = tried(session, together)
    assert at_once == one_by_one == [True] * 20 + [False] * 2
    assert left_together == left


def test_what_was_cancelled_before_it_was_claimed_is_not_begun_with_the_others(session: Session) -> None:
    task_id = deployed(session, schedule=MANUAL)
    asked = [a_run(session, task_id, at, trigger=Trigger.MANUAL) for at in (FIRST, SECOND)]
    runs.request_cancel(session, asked[0].id, now=NOW)
    deployment_id = an_offer(session, task_id, FIRST).deployment_id
    offers = [Offer(key.id, deployment_id, key.due_at, Trigger.MANUAL) for key in asked]
    answers = claims.claim_many(session, wanted(offers), a_worker(session), clock=lambda: SECOND)
    assert answers[asked[0].id] == StandDown(Reason.CANCELLED)
    assert isinstance(answers[asked[1].id], Claimed)


def test_many_reports_are_marked_at_once_and_a_newer_state_stays_untold(session: Session) -> None:
    worker = a_worker(session)
    claimed = [answer for answer, _ in some_claimed(session, worker)]
    runs.mark_all_reported(
        session, [(one.key, RunState.RUNNING if number else RunState.COMPLETED) for number, one in enumerate(claimed)]
    )
    reported = {one.key.id: runs.get_run(session, one.key.id).reported for one in claimed}
    assert list(reported.values()) == [False] + [True] * (len(claimed) - 1)


def test_the_ledger_of_a_batch_says_when_each_was_begun(session: Session) -> None:
    names = [f"task {number}" for number in range(5)]
    task_ids = [deployed(session, name=name) for name in names]
    offers = [an_offer(session, task_id, FIRST) for task_id in task_ids]
    claims.claim_many(session, wanted(offers), a_worker(session), clock=lambda: SECOND)
    for task_id, offer in zip(task_ids, offers, strict=True):
        row = ledger(session, task_id)[0]
        assert (row.outcome, row.run_id, row.started_at) == (Outcome.RUNNING, offer.run_id, SECOND)

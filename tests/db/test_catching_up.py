"""After an outage, a pause, a long run: which due times are run, in which order, and which are not."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from db import claims, due_times, runs, sync, tasks, workers
from db.claims import Answer, Claimed, NotYet, Offer, StandDown, startable
from db.due_times import not_to_run, pending_until, settle_many
from db.policies import ON_TIME
from db.runs import Ending
from db.states import Missed, Outcome, Reason, RunState, Trigger
from db.tables import Task
from tests.db.conftest import (
    NOW,
    a_claimed_run,
    a_worker,
    claim_at,
    create,
    deployed,
    edit,
    ledger,
    minutes,
    outcomes,
    pending,
    run_of,
    seconds,
    status,
)

BACK = NOW + minutes(5) + seconds(30)
"""The end of an outage in which five due times passed; the last one is not late yet."""


def back_at(session: Session, task_id: UUID, due_minute: int, *, at: datetime = BACK) -> Answer:
    return claim_at(session, task_id, NOW + minutes(due_minute), now=at)


def ended(session: Session, answer: Answer, *, at: datetime = BACK) -> None:
    assert isinstance(answer, Claimed)
    worker_id = run_of(session, answer.key).worker_id
    assert worker_id is not None
    assert runs.finish(session, answer.key, Ending(RunState.COMPLETED, at), worker_id=worker_id)


def passed(session: Session, task_id: UUID, *, at: datetime = BACK) -> list[tuple[str, str | None]]:
    return [(row.outcome, row.reason) for row in ledger(session, task_id) if row.due_at <= at]


def test_misfire_all_runs_each_one_after_the_other_though_the_task_skips_overlaps(session: Session) -> None:
    task_id = deployed(session, misfire="all")
    assert back_at(session, task_id, 2) == NotYet(), "the oldest first"
    first = back_at(session, task_id, 1)
    assert isinstance(first, Claimed)
    assert back_at(session, task_id, 2) == NotYet(), "until the one before it has ended"
    ended(session, first)
    for minute in (2, 3, 4, 5):
        ended(session, back_at(session, task_id, minute))
    assert passed(session, task_id) == [(Outcome.RAN, None)] * 5


def test_what_is_due_now_waits_for_the_last_one_that_was_missed(session: Session) -> None:
    task_id = deployed(session, misfire="all", ends_at=(NOW + minutes(3)).isoformat())
    at = NOW + minutes(3) + seconds(1)
    ended(session, back_at(session, task_id, 1, at=at), at=at)
    last_missed = back_at(session, task_id, 2, at=at)
    assert isinstance(last_missed, Claimed)
    assert back_at(session, task_id, 3, at=at) == NotYet()
    ended(session, last_missed, at=at)
    assert isinstance(back_at(session, task_id, 3, at=at), Claimed)


def test_what_waits_its_turn_behind_a_long_run_is_no_misfire(session: Session) -> None:
    task_id = deployed(session, overlap="queue", misfire="skip")
    long_run = claim_at(session, task_id, NOW + minutes(1))
    for minute in (2, 3, 4):
        assert claim_at(session, task_id, NOW + minutes(minute)) == NotYet()
    ended(session, long_run)
    for minute in (2, 3, 4):
        ended(session, back_at(session, task_id, minute))
    assert back_at(session, task_id, 5) != NotYet()
    assert passed(session, task_id)[:4] == [(Outcome.RAN, None)] * 4


def test_but_nobody_waits_for_longer_than_its_task_allows(session: Session) -> None:
    task_id = deployed(session, overlap="queue", max_lateness_seconds=90)
    claim_at(session, task_id, NOW + minutes(1))
    assert claim_at(session, task_id, NOW + minutes(2)) == NotYet()
    assert back_at(session, task_id, 2) == StandDown(Reason.LATE)


def test_the_ledger_is_completed_before_the_newest_is_chosen(session: Session) -> None:
    """Nobody wrote ahead for an hour: what the ledger holds as its newest is not the newest."""
    task_id, back = deployed(session), NOW + minutes(60) + seconds(5)
    assert claim_at(session, task_id, NOW + minutes(10), now=back) == StandDown(Reason.SUPERSEDED)
    assert isinstance(claim_at(session, task_id, NOW + minutes(60), now=back), Claimed)


def at_once(session: Session, task_id: UUID, minute: int) -> Offer:
    deployment_id = status(session, task_id).deployment_id
    assert deployment_id is not None
    return Offer(uuid4(), deployment_id, NOW + minutes(minute), Trigger.SCHEDULE)


@pytest.mark.parametrize(
    ("policies", "chosen"),
    [({}, {4}), ({"misfire": "all"}, {1}), ({"misfire": "skip"}, set()), ({"max_lateness_seconds": 5}, set())],
)
def test_a_worker_asks_only_for_those_that_it_would_get(
    session: Session, policies: dict[str, Any], chosen: set[int]
) -> None:
    task_id = deployed(session, ends_at=(NOW + minutes(4)).isoformat(), **policies)
    offers = {minute: at_once(session, task_id, minute) for minute in range(1, 5)}
    found = startable(session, list(offers.values()), now=BACK)
    assert {minute for minute, offer in offers.items() if offer.run_id in found} == chosen


def test_what_prefect_still_has_and_nobody_is_to_run_is_told_apart(session: Session) -> None:
    task_id, stranger = deployed(session), uuid4()
    edit(session, task_id, misfire="skip")
    assert back_at(session, task_id, 1) == StandDown(Reason.LATE)
    assert isinstance(back_at(session, task_id, 5), Claimed)
    due_times.extend(session, now=BACK)
    deployment = status(session, task_id).deployment_id
    assert deployment is not None
    asked = [(deployment, NOW + minutes(minute)) for minute in (1, 2, 5)]
    others = [(deployment, NOW + seconds(61)), (stranger, NOW)]
    assert not_to_run(session, asked + others, now=BACK) == {asked[0], others[0]}


def test_a_schedule_that_prefect_alone_can_follow_is_left_to_it(session: Session) -> None:
    task_id, deployment = create(session, schedule={"kind": "manual"}), uuid4()
    applied = {"schedule": due_times.FOREIGN}
    sync.record_synced(session, task_id, version=1, deployment_id=deployment, applied=applied)
    assert not_to_run(session, [(deployment, NOW)], now=BACK) == set()


def test_many_are_decided_at_once_but_not_of_a_task_that_changed_since(session: Session) -> None:
    quiet, edited = deployed(session, name="quiet"), deployed(session, name="edited")
    seen = pending_until(session, until=NOW + minutes(2), now=BACK)
    edit(session, edited, misfire="all")
    assert settle_many(session, seen, outcome=Outcome.MISSED, reason=Reason.LATE, now=BACK) == 2
    assert outcomes(session, quiet)[:2] == [(Outcome.MISSED, Reason.LATE)] * 2
    assert outcomes(session, edited)[:2] == [(Outcome.PENDING, None)] * 2


def test_of_a_task_with_many_only_the_oldest_go_before_those_of_others(session: Session) -> None:
    many = deployed(session, name="many", schedule={"kind": "cron", "cron": "* * * * * */5", "timezone": "UTC"})
    few = deployed(session, name="few")
    found = pending_until(session, until=BACK, now=BACK, limit=22)
    overdue = [one.task_id for one in found if BACK - one.due_at >= ON_TIME]
    assert overdue[:4] == [many, few, many, few]


# What a pause held back.


def paused_for_five_minutes(session: Session, missed: Missed, **policies: Any) -> UUID:
    task_id = deployed(session, **policies)
    tasks.pause_task(session, task_id, actor="anna", now=NOW + seconds(30))
    for minute in (1, 2, 3):
        assert claim_at(session, task_id, NOW + minutes(minute)) == StandDown(Reason.PAUSED)
    tasks.resume_task(session, task_id, missed=missed, actor="anna", now=BACK)
    return task_id


@pytest.mark.parametrize(("missed", "reopened"), [(Missed.NONE, 0), (Missed.LAST, 1), (Missed.ALL, 5)])
def test_who_ends_a_pause_says_what_becomes_of_what_passed(session: Session, missed: Missed, reopened: int) -> None:
    task_id = paused_for_five_minutes(session, missed, misfire="skip", max_lateness_seconds=1)
    skipped = [(Outcome.SKIPPED, Reason.PAUSED)] * (5 - reopened)
    assert passed(session, task_id) == skipped + [(Outcome.PENDING, Reason.RESUMED)] * reopened
    for minute in range(6 - reopened, 6):
        ended(session, back_at(session, task_id, minute))
    assert passed(session, task_id) == skipped + [(Outcome.RAN, None)] * reopened


def test_an_earlier_pause_is_not_reopened(session: Session) -> None:
    task_id = paused_for_five_minutes(session, Missed.NONE)
    tasks.pause_task(session, task_id, actor="anna", now=BACK)
    tasks.pause_task(session, task_id, reason="still", actor="anna", now=BACK + minutes(1))
    tasks.resume_task(session, task_id, missed=Missed.ALL, actor="anna", now=BACK + minutes(2))
    assert passed(session, task_id, at=BACK + minutes(2)) == [
        *[(Outcome.SKIPPED, Reason.PAUSED)] * 5,
        *[(Outcome.PENDING, Reason.RESUMED)] * 2,
    ]


def test_a_task_that_was_born_paused_is_reopened_from_its_birth(session: Session) -> None:
    task_id = deployed(session, paused=True)
    tasks.resume_task(session, task_id, missed=Missed.ALL, actor="anna", now=NOW + minutes(2) + seconds(1))
    assert [row.reason for row in ledger(session, task_id)[:3]] == [Reason.RESUMED, Reason.RESUMED, None]


# The order of the commits is the order of the changes.


def test_an_edit_comes_after_what_a_faster_clock_has_claimed(session: Session) -> None:
    key, _ = a_claimed_run(session)
    task_id = run_of(session, key).task_id
    edit(session, task_id, now=NOW + seconds(10), schedule={"kind": "cron", "cron": "*/2 * * * *", "timezone": "UTC"})
    assert view_updated_at(session, task_id) == key.due_at
    assert pending(session, task_id)[0] == NOW + minutes(2)
    assert ledger(session, task_id)[0].run_id == key.id


def test_an_edit_takes_back_nothing_that_a_faster_clock_has_refused(session: Session) -> None:
    key, _ = a_claimed_run(session)
    task_id, second = run_of(session, key).task_id, NOW + minutes(2)
    assert claim_at(session, task_id, second) == StandDown(Reason.OVERLAP)
    odd_minutes = {"kind": "cron", "cron": "1-59/2 * * * *", "timezone": "UTC"}
    edit(session, task_id, now=second - seconds(0.4), schedule=odd_minutes)
    assert outcomes(session, task_id)[1] == (Outcome.SKIPPED, Reason.OVERLAP)
    assert pending(session, task_id)[0] == NOW + minutes(3)


def test_no_change_is_noted_as_earlier_than_the_one_before(session: Session) -> None:
    task_id = deployed(session)
    tasks.pause_task(session, task_id, actor="anna", now=NOW + minutes(60))
    tasks.resume_task(session, task_id, actor="ben", now=NOW + minutes(3))
    assert view_updated_at(session, task_id) == NOW + minutes(60)
    assert {row.due_at for row in ledger(session, task_id) if row.outcome == Outcome.SKIPPED} == {
        NOW + minutes(minute) for minute in range(1, 60)
    }


def view_updated_at(session: Session, task_id: UUID) -> datetime:
    return session.get_one(Task, task_id, populate_existing=True).updated_at


@pytest.mark.parametrize("misfire", ["latest", "all"])
def test_a_clock_that_is_set_back_by_an_hour_makes_nothing_run_twice(session: Session, misfire: str) -> None:
    task_id = deployed(session, misfire=misfire)
    for minute in range(1, 6):
        ended(session, claim_at(session, task_id, NOW + minutes(minute)), at=NOW + minutes(minute) + seconds(5))
    due_times.extend(session, now=NOW - minutes(60))
    for minute in range(1, 6):
        again = claim_at(session, task_id, NOW + minutes(minute), now=NOW + minutes(minute - 60))
        assert again == StandDown(Reason.NOT_DUE)
    assert isinstance(claim_at(session, task_id, NOW + minutes(6)), Claimed), "and goes on where it was"


def test_a_clock_that_is_set_forward_by_an_hour_loses_nothing(session: Session) -> None:
    task_id, later = deployed(session), NOW + minutes(60) + seconds(10)
    due_times.extend(session, now=later)
    for one in pending_until(session, until=later, now=later):
        claim_at(session, task_id, one.due_at, now=later)
    assert passed(session, task_id, at=later) == [
        *[(Outcome.SKIPPED, Reason.SUPERSEDED)] * 59,
        (Outcome.RUNNING, None),
    ]


def test_a_worker_that_was_declared_lost_claims_nothing(session: Session) -> None:
    task_id, worker = deployed(session), a_worker(session)
    offer = at_once(session, task_id, 1)
    workers.stop(session, worker.id, now=NOW)
    assert claims.claim(session, offer, worker, now=NOW + minutes(1)) == NotYet()

"""The claim: who runs a due time, and whether it is run at all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete
from sqlalchemy.orm import Session

from db import claims, runs, sync, tasks
from db.claims import Claimant, Claimed, NotYet, StandDown, Taken, trigger_of
from db.due_times import FOREIGN
from db.policies import ON_TIME, Situation, refusal
from db.runs import Ending, RunKey
from db.states import Misfire, Outcome, Overlap, Reason, RunState, Trigger
from db.tables import DueTime
from tests.db.conftest import (
    DAILY,
    MANUAL,
    NOW,
    a_run,
    a_task,
    an_offer,
    claim_at,
    create,
    deployed,
    edit,
    ledger,
    minutes,
    once,
    outcomes,
    pending,
    run_of,
    seconds,
    view,
)

FIRST, SECOND = NOW + minutes(1), NOW + minutes(2)
WORKER = Claimant(UUID(int=9), "w9")


def claimed_at(session: Session, task_id: UUID, due_at: Any, **more: Any) -> Claimed:
    answer = claim_at(session, task_id, due_at, **more)
    assert isinstance(answer, Claimed)
    return answer


def test_a_claim_gives_the_task_as_it_is_and_starts_its_run_and_its_due_time(session: Session) -> None:
    task_id = deployed(session)
    offer = an_offer(session, task_id, FIRST)
    answer = claims.claim(session, offer, WORKER, now=FIRST + seconds(1))
    key = RunKey(offer.run_id, FIRST)
    assert answer == Claimed(key, task_id, 1, a_task(), Trigger.SCHEDULE, FIRST + seconds(1))
    run = run_of(session, key)
    assert (run.state, run.worker_id, run.worker, run.attempt) == (RunState.RUNNING, WORKER.id, "w9", 1)
    assert (run.task_name, run.task_version, run.lateness_seconds, run.reported) == ("backup", 1, 1.0, False)
    row = ledger(session, task_id)[0]
    assert (row.outcome, row.run_id, row.lateness_seconds) == (Outcome.RUNNING, key.id, 1.0)


def test_a_second_claim_of_the_same_run_leaves_it_alone_and_of_another_run_stands_down(session: Session) -> None:
    task_id = deployed(session)
    offer = an_offer(session, task_id, FIRST)
    assert isinstance(claims.claim(session, offer, WORKER, now=FIRST), Claimed)
    other = Claimant(uuid4(), "other")
    assert claims.claim(session, offer, other, now=FIRST) == Taken()
    assert claims.claim(session, replace(offer, run_id=uuid4()), other, now=FIRST) == StandDown(Reason.NOT_DUE)
    manual = replace(offer, run_id=uuid4(), trigger=Trigger.MANUAL)
    assert isinstance(claims.claim(session, manual, WORKER, now=FIRST), Claimed)
    assert claims.claim(session, manual, other, now=FIRST) == Taken()


@pytest.mark.parametrize("trigger", [Trigger.SCHEDULE, Trigger.MANUAL])
def test_a_worker_that_never_heard_of_its_claim_asks_again_and_gets_it_until_the_run_is_over(
    session: Session, trigger: Trigger
) -> None:
    offer = replace(an_offer(session, deployed(session), FIRST), trigger=trigger)
    first = claims.claim(session, offer, WORKER, now=FIRST)
    assert isinstance(first, Claimed)
    assert claims.claim(session, offer, WORKER, now=FIRST + timedelta(seconds=5)) == first
    ending = Ending(RunState.COMPLETED, FIRST + timedelta(seconds=9))
    assert runs.finish(session, first.key, ending, worker_id=WORKER.id)
    assert claims.claim(session, offer, WORKER, now=FIRST + timedelta(seconds=10)) == Taken()


def test_an_edit_before_the_claim_counts(session: Session) -> None:
    task_id = deployed(session)
    edit(session, task_id, action={"command": "new"})
    answer = claimed_at(session, task_id, FIRST)
    assert answer.version == 2
    assert answer.task == a_task(action={"command": "new"})
    assert ledger(session, task_id)[0].task_version == 2


def test_a_due_time_that_an_edit_took_back_is_not_due(session: Session) -> None:
    task_id = deployed(session)
    edit(session, task_id, schedule=DAILY)
    assert claim_at(session, task_id, FIRST) == StandDown(Reason.NOT_DUE)
    assert isinstance(claim_at(session, task_id, NOW + minutes(60)), Claimed)


def test_a_pause_before_the_claim_counts(session: Session) -> None:
    task_id = deployed(session)
    tasks.pause_task(session, task_id, until=SECOND, actor="anna", now=NOW)
    assert claim_at(session, task_id, FIRST) == StandDown(Reason.PAUSED)
    assert outcomes(session, task_id)[0] == (Outcome.SKIPPED, Reason.PAUSED)
    assert isinstance(claim_at(session, task_id, SECOND), Claimed), "the pause is over, though nobody resumed it yet"


def test_a_deletion_before_the_claim_counts(session: Session) -> None:
    task_id = deployed(session)
    tasks.delete_task(session, task_id, actor="anna", now=NOW)
    assert claim_at(session, task_id, FIRST) == StandDown(Reason.DELETED)


def test_an_instant_that_no_schedule_asks_for_is_not_due(session: Session) -> None:
    task_id = deployed(session)
    assert claim_at(session, task_id, FIRST + seconds(1)) == StandDown(Reason.NOT_DUE)
    assert claim_at(session, task_id, NOW) == StandDown(Reason.NOT_DUE)


def test_a_deployment_that_is_not_known_yet_is_asked_about_again(session: Session) -> None:
    offer = an_offer(session, deployed(session), FIRST)
    assert claims.claim(session, replace(offer, deployment_id=uuid4()), WORKER, now=FIRST) == NotYet()


def test_a_due_time_beyond_the_end_of_the_ledger_is_claimed_all_the_same(session: Session) -> None:
    """The reconciler has been away for half an hour; Prefect's scheduler and the workers go on."""
    task_id = deployed(session, ends_at=(NOW + minutes(40)).isoformat())
    late = NOW + minutes(30)
    assert isinstance(claim_at(session, task_id, late), Claimed)
    assert claim_at(session, task_id, late) == StandDown(Reason.NOT_DUE), "once"
    assert claim_at(session, task_id, late + seconds(30)) == StandDown(Reason.NOT_DUE), "the cron does not match"
    assert claim_at(session, task_id, NOW + minutes(41)) == StandDown(Reason.NOT_DUE), "it has ended"
    assert [row.due_at for row in ledger(session, task_id) if row.outcome == Outcome.RUNNING] == [late]


def test_a_row_that_is_missing_within_the_ledger_is_not_written_again(session: Session) -> None:
    task_id = deployed(session)
    session.execute(delete(DueTime).where(DueTime.due_at == SECOND))
    assert claim_at(session, task_id, SECOND) == StandDown(Reason.NOT_DUE)


def test_while_the_last_run_goes_on_the_policy_decides(session: Session) -> None:
    expected = {
        Overlap.SKIP: StandDown(Reason.OVERLAP),
        Overlap.QUEUE: NotYet(),
        Overlap.ALLOW: Claimed,
        Overlap.REPLACE: Claimed,
    }
    for overlap, answer in expected.items():
        task_id = deployed(session, name=overlap, overlap=overlap)
        first = claimed_at(session, task_id, FIRST)
        second = claim_at(session, task_id, SECOND)
        assert second == answer or type(second) is answer, overlap
        asked = run_of(session, first.key).cancel_requested_at
        assert asked == (SECOND if overlap is Overlap.REPLACE else None)


def test_what_is_queued_runs_when_the_last_run_has_ended(session: Session) -> None:
    task_id = deployed(session, overlap="queue")
    offer = an_offer(session, task_id, FIRST)
    claims.claim(session, offer, WORKER, now=FIRST)
    assert claim_at(session, task_id, SECOND) == NotYet()
    assert outcomes(session, task_id)[1] == (Outcome.PENDING, Reason.QUEUED)
    runs.finish(session, RunKey(offer.run_id, FIRST), Ending(RunState.FAILED, SECOND), worker_id=WORKER.id)
    assert isinstance(claim_at(session, task_id, SECOND, now=SECOND + seconds(5)), Claimed)


def test_a_run_that_only_waits_is_no_overlap(session: Session) -> None:
    task_id = deployed(session)
    a_run(session, task_id, FIRST, state=RunState.SCHEDULED)
    assert isinstance(claim_at(session, task_id, FIRST), Claimed)


def test_the_run_of_another_task_is_no_overlap(session: Session) -> None:
    claimed_at(session, deployed(session, name="other"), FIRST)
    assert isinstance(claim_at(session, deployed(session), FIRST), Claimed)


def test_after_an_outage_the_newest_due_time_runs_by_default(session: Session) -> None:
    task_id, back = deployed(session), NOW + minutes(5) + seconds(30)
    assert claim_at(session, task_id, FIRST, now=back) == StandDown(Reason.SUPERSEDED)
    newest = claimed_at(session, task_id, NOW + minutes(5), now=back)
    assert newest.trigger is Trigger.SCHEDULE
    assert outcomes(session, task_id)[0] == (Outcome.SKIPPED, Reason.SUPERSEDED)


def test_a_due_time_that_waited_long_is_caught_up(session: Session) -> None:
    task_id = deployed(session, schedule=once(FIRST))
    assert claimed_at(session, task_id, FIRST, now=FIRST + ON_TIME).trigger is Trigger.SCHEDULE
    task_id = deployed(session, name="later", schedule=once(FIRST))
    assert claimed_at(session, task_id, FIRST, now=FIRST + ON_TIME + seconds(1)).trigger is Trigger.CATCH_UP


def test_misfire_all_runs_each_of_them(session: Session) -> None:
    task_id, back = deployed(session, misfire="all", overlap="allow"), NOW + minutes(5)
    for minute in range(1, 6):
        assert isinstance(claim_at(session, task_id, NOW + minutes(minute), now=back), Claimed)


def test_misfire_skip_runs_none_that_waited_long(session: Session) -> None:
    task_id = deployed(session, misfire="skip")
    assert claim_at(session, task_id, FIRST, now=FIRST + ON_TIME + seconds(1)) == StandDown(Reason.LATE)
    assert outcomes(session, task_id)[0] == (Outcome.MISSED, Reason.LATE)
    assert isinstance(claim_at(session, task_id, SECOND, now=SECOND + ON_TIME), Claimed)


def test_what_is_later_than_its_maximum_is_not_run(session: Session) -> None:
    task_id = deployed(session, max_lateness_seconds=5, misfire="all")
    assert claim_at(session, task_id, FIRST, now=FIRST + seconds(5.1)) == StandDown(Reason.LATE)
    assert outcomes(session, task_id)[0] == (Outcome.MISSED, Reason.LATE)
    assert isinstance(claim_at(session, task_id, SECOND, now=SECOND + seconds(5)), Claimed)


@pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.PREFECT])
def test_what_somebody_asked_for_runs_whatever_the_schedule_says(session: Session, trigger: Trigger) -> None:
    task_id = deployed(session)
    tasks.pause_task(session, task_id, actor="anna", now=NOW)
    claimed = claims.claim(session, an_offer(session, task_id, NOW, trigger), WORKER, now=NOW + seconds(1))
    assert isinstance(claimed, Claimed)
    assert claimed.trigger is trigger
    assert {row.outcome for row in ledger(session, task_id)} == {Outcome.PENDING}


def test_a_run_that_was_cancelled_while_it_waited_is_not_started(session: Session) -> None:
    task_id = deployed(session, schedule=MANUAL)
    offer = an_offer(session, task_id, NOW, Trigger.MANUAL)
    key = a_run(session, task_id, NOW, id=offer.run_id, trigger=Trigger.MANUAL)
    runs.request_cancel(session, key.id, now=NOW)
    assert claims.claim(session, offer, WORKER, now=NOW) == StandDown(Reason.CANCELLED)


def test_a_schedule_that_prefect_alone_can_follow_is_run_as_prefect_offers_it(session: Session) -> None:
    task_id = create(session, schedule=MANUAL)
    sync.record_synced(session, task_id, version=1, deployment_id=uuid4(), applied={"schedule": FOREIGN})
    assert claimed_at(session, task_id, NOW + seconds(7)).trigger is Trigger.PREFECT


def test_the_key_of_a_flow_run_tells_why_it_exists() -> None:
    assert trigger_of("", auto_scheduled=True) is Trigger.SCHEDULE
    assert trigger_of("scheduled 1 2", auto_scheduled=False) is Trigger.SCHEDULE
    assert trigger_of("manual 1", auto_scheduled=False) is Trigger.MANUAL
    assert trigger_of("rerun 1", auto_scheduled=False) is Trigger.RERUN
    for foreign in ("", "backfill", "schedule", "prefect 1", "Manual 1"):
        assert trigger_of(foreign, auto_scheduled=False) is Trigger.PREFECT


@given(
    st.sampled_from(Misfire),
    st.sampled_from(Overlap),
    st.none() | st.integers(0, 200),
    st.integers(-1, 300),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(-120, 120),
)
def test_a_refusal_follows_from_the_policies(
    misfire: Misfire,
    overlap: Overlap,
    most: int | None,
    late: int,
    paused: bool,
    running: bool,
    newer: int | None,
) -> None:
    task = a_task(misfire=misfire, overlap=overlap, max_lateness_seconds=most)
    newest = None if newer is None else FIRST + seconds(newer)
    now = FIRST + seconds(late)
    situation = Situation(
        due_at=FIRST, now=now, paused=paused, running=running, oldest_due_at=FIRST, newest_due_at=newest
    )
    refused = refusal(task, situation)
    reasons: dict[Reason, Callable[[], bool]] = {
        Reason.PAUSED: lambda: paused,
        Reason.LATE: lambda: (most is not None and late > most) or (misfire is Misfire.SKIP and late > 60),
        Reason.SUPERSEDED: lambda: misfire is Misfire.LATEST and late > 60 and newer is not None and newer > 0,
        # What is caught up with is run one after the other.
        Reason.OVERLAP: lambda: overlap is Overlap.SKIP and running and not (misfire is Misfire.ALL and late > 60),
    }
    true = [reason for reason, holds in reasons.items() if holds()]
    assert (refused.reason if refused else None) == (true[0] if true else None)
    if refused:
        assert (refused.outcome is Outcome.MISSED) == (refused.reason is Reason.LATE)


def test_claims_follow_the_clock_that_is_passed_in(session: Session) -> None:
    """A task that ran yesterday is not late today."""
    task_id = deployed(session, schedule=DAILY)
    for day in range(3):
        due_at = NOW + minutes(60) + timedelta(days=day)
        key = claimed_at(session, task_id, due_at).key
        worker_id = run_of(session, key).worker_id
        assert worker_id is not None
        assert runs.finish(session, key, Ending(RunState.COMPLETED, due_at + seconds(3)), worker_id=worker_id)
    last = view(session, task_id).last_run
    assert last is not None
    assert last.due_at == NOW + minutes(60) + timedelta(days=2)
    assert pending(session, task_id) == []

"""What Duetime promises, to be read from the top. Everything here happens in a real catalogue; time is passed in.

A *task* is what somebody wants done. Its schedule makes *due times*, each a row of the ledger. A worker *claims* a due
time, which makes a *run*. When the run ends, the due time has its *outcome*, for ever.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete

from db import claims, due_times, run_requests, runs, sync, task_views, tasks, witness, workers
from db.claims import Claimant, Claimed, Offer, StandDown, Taken
from db.engine import Catalogue
from db.errors import StaleVersion
from db.runs import Ending, RunKey
from db.specs import AnyTask, parse_task
from db.states import Missed, Outcome, Reason, RunState, Trigger
from db.tables import DueTime

MORNING = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0)
NINE = MORNING.replace(hour=9)


def invoices(**changes: object) -> AnyTask:
    """Every day at nine."""
    document = {
        "name": "invoices",
        "kind": "shell",
        "action": {"command": "make-invoices"},
        "schedule": {"kind": "cron", "cron": "0 9 * * *", "timezone": "UTC"},
    }
    return parse_task(document | changes)


@pytest.fixture
def deployment() -> UUID:
    """Each task has one deployment in Prefect, which names it to the workers."""
    return uuid4()


@pytest.fixture
def task(catalogue: Catalogue, deployment: UUID) -> UUID:
    """Created in the morning and brought to Prefect by the reconciler."""
    with catalogue.transaction() as session:
        task_id = tasks.create_task(session, invoices(), actor="Ada", now=MORNING)
        sync.record_synced(session, task_id, version=1, deployment_id=deployment, applied=None)
    return task_id


def claim(catalogue: Catalogue, deployment: UUID, worker: str, *, run: UUID | None = None) -> claims.Answer:
    """A worker asks for the due time at nine, at nine."""
    offer = Offer(run or uuid4(), deployment, NINE, Trigger.SCHEDULE)
    with catalogue.transaction() as session:
        return claims.claim(session, offer, Claimant(uuid4(), worker), now=NINE)


def ledger(catalogue: Catalogue, task: UUID) -> list[tuple[datetime, Outcome, Reason | None]]:
    """The due times of the day."""
    with catalogue.transaction() as session:
        page = due_times.list_due_times(session, task, to_at=MORNING + timedelta(hours=12))
    return [(row.due_at, Outcome(row.outcome), Reason(row.reason) if row.reason else None) for row in page.items]


def test_a_task_has_its_due_times_from_the_moment_that_it_is_created(catalogue: Catalogue, task: UUID) -> None:
    assert ledger(catalogue, task) == [(NINE, Outcome.PENDING, None)]


def test_a_due_time_is_run_by_one_worker_and_has_its_outcome_for_ever(
    catalogue: Catalogue, task: UUID, deployment: UUID
) -> None:
    offer = Offer(uuid4(), deployment, NINE, Trigger.SCHEDULE)
    first, second = Claimant(uuid4(), "first"), Claimant(uuid4(), "second")
    with catalogue.transaction() as session:
        mine = claims.claim(session, offer, first, now=NINE)
        theirs = claims.claim(session, offer, second, now=NINE)
    assert isinstance(mine, Claimed)
    assert isinstance(theirs, Taken)
    assert ledger(catalogue, task) == [(NINE, Outcome.RUNNING, None)]

    with catalogue.transaction() as session:
        ending = Ending(RunState.COMPLETED, NINE + timedelta(minutes=2), exit_code=0)
        assert runs.finish(session, mine.key, ending, worker_id=first.id)
    assert ledger(catalogue, task) == [(NINE, Outcome.RAN, None)]
    with catalogue.transaction() as session:
        assert not due_times.settle(session, task, NINE, outcome=Outcome.MISSED, reason=Reason.LATE, now=NINE)


def test_an_edit_that_was_saved_before_the_claim_counts(catalogue: Catalogue, task: UUID, deployment: UUID) -> None:
    better = invoices(action={"command": "make-better-invoices"})
    with catalogue.transaction() as session:
        tasks.replace_task(session, task, better, seen_version=1, actor="Ada", now=NINE - timedelta(seconds=1))
    claimed = claim(catalogue, deployment, "worker")
    assert isinstance(claimed, Claimed)
    assert (claimed.version, claimed.task) == (2, better)


def test_a_task_that_is_paused_is_not_run_and_the_ledger_says_so(
    catalogue: Catalogue, task: UUID, deployment: UUID
) -> None:
    with catalogue.transaction() as session:
        tasks.pause_task(session, task, reason="audit", actor="Ada", now=NINE - timedelta(seconds=1))
    assert claim(catalogue, deployment, "worker") == StandDown(Reason.PAUSED)
    assert ledger(catalogue, task) == [(NINE, Outcome.SKIPPED, Reason.PAUSED)]


def test_two_people_who_edit_at_once_never_lose_an_edit(catalogue: Catalogue, task: UUID) -> None:
    adas, bobs = invoices(description="Ada's"), invoices(description="Bob's")
    with catalogue.transaction() as session:
        tasks.replace_task(session, task, adas, seen_version=1, actor="Ada", now=MORNING)
    with pytest.raises(StaleVersion) as refused, catalogue.transaction() as session:
        tasks.replace_task(session, task, bobs, seen_version=1, actor="Bob", now=MORNING)
    assert refused.value.current_version == 2
    with catalogue.transaction() as session:
        assert task_views.get_task(session, task, now=MORNING).spec == adas


def test_what_is_deleted_is_not_due_and_comes_back_as_it_was(catalogue: Catalogue, task: UUID) -> None:
    with catalogue.transaction() as session:
        tasks.delete_task(session, task, actor="Ada", now=MORNING)
    assert ledger(catalogue, task) == []
    with catalogue.transaction() as session:
        tasks.restore_task(session, task, actor="Ada", now=MORNING + timedelta(minutes=1))
        assert task_views.get_task(session, task, now=MORNING).spec == invoices()
    assert ledger(catalogue, task) == [(NINE, Outcome.PENDING, None)]


def test_a_pause_can_be_made_up_for(catalogue: Catalogue, task: UUID, deployment: UUID) -> None:
    with catalogue.transaction() as session:
        tasks.pause_task(session, task, actor="Ada", now=NINE - timedelta(hours=1))
    assert claim(catalogue, deployment, "worker") == StandDown(Reason.PAUSED)
    with catalogue.transaction() as session:
        tasks.resume_task(session, task, missed=Missed.LAST, actor="Ada", now=NINE + timedelta(hours=1))
    assert ledger(catalogue, task) == [(NINE, Outcome.PENDING, Reason.RESUMED)]
    assert isinstance(claim(catalogue, deployment, "worker"), Claimed)


def test_when_the_machine_dies_nobody_knows_what_became_of_it_and_it_is_not_run_again(
    catalogue: Catalogue, task: UUID, deployment: UUID
) -> None:
    worker, lost = the_machine_dies(catalogue, deployment)
    assert ledger(catalogue, task) == [(NINE, Outcome.UNKNOWN, Reason.WORKER_LOST)]
    with catalogue.transaction() as session:
        assert run_requests.open_requests(session, now=NINE + timedelta(hours=1)) == []
        done = Ending(RunState.COMPLETED, NINE + timedelta(minutes=3))
        assert not runs.finish(session, lost, done, worker_id=worker), "should it come back, its claim is void"


def test_a_task_that_must_run_at_least_once_goes_on_elsewhere(
    catalogue: Catalogue, task: UUID, deployment: UUID
) -> None:
    with catalogue.transaction() as session:
        surely = invoices(on_crash="rerun")
        tasks.replace_task(session, task, surely, seen_version=1, actor="Ada", now=MORNING)
    _, lost = the_machine_dies(catalogue, deployment)
    with catalogue.transaction() as session:
        [request] = run_requests.open_requests(session, now=NINE + timedelta(minutes=2))
        run_requests.fulfil(session, request, rerun := uuid4())
        offer = Offer(rerun, deployment, NINE, Trigger.RERUN)
        goes_on = claims.claim(session, offer, Claimant(uuid4(), "another"), now=NINE + timedelta(minutes=2))
    assert isinstance(goes_on, Claimed)
    assert (goes_on.attempt, goes_on.key.due_at) == (2, lost.due_at)
    assert ledger(catalogue, task) == [(NINE, Outcome.RUNNING, None)]


def the_machine_dies(catalogue: Catalogue, deployment: UUID) -> tuple[UUID, RunKey]:
    """In the midst of the run at nine; a minute later the reconciler gives its worker up."""
    worker = Claimant(uuid4(), "lost")
    with catalogue.transaction() as session:
        claimed = claims.claim(session, Offer(uuid4(), deployment, NINE, Trigger.SCHEDULE), worker, now=NINE)
        assert isinstance(claimed, Claimed)
        ending = Ending(RunState.CRASHED, NINE + timedelta(minutes=1))
        assert runs.end_unclaimed(session, claimed.key, ending, held_by=worker.id)
    return worker.id, claimed.key


def test_an_independent_witness_finds_every_due_time_accounted_for_or_says_which_is_not(
    catalogue: Catalogue, task: UUID, deployment: UUID
) -> None:
    worker = Claimant(uuid4(), "worker")
    later = NINE + timedelta(minutes=5)
    with catalogue.transaction() as session:
        workers.register(session, worker_id=worker.id, name="worker", work_pool="default", host="h", pid=1, now=NINE)
        session.flush()
        claims.claim(session, Offer(uuid4(), deployment, NINE, Trigger.SCHEDULE), worker, now=NINE)
        assert workers.beat(session, worker.id, now=later)
    with catalogue.transaction() as session:
        verdict = witness.audit(session, from_at=MORNING, to_at=later, now=later)
        assert (verdict.due_times, verdict.accounted, verdict.discrepancies) == (1, 1, ())
        session.execute(delete(DueTime).where(DueTime.task_id == task, DueTime.due_at == NINE))
        verdict = witness.audit(session, from_at=MORNING, to_at=later, now=later)
    assert verdict.accounted == 0
    assert {found.due_at for found in verdict.discrepancies} == {NINE}

"""What Duetime promises, to be read from the top. Everything here happens in a real catalogue; time is passed in.

A *task* is what somebody wants done. Its schedule makes *due times*, each a row of the ledger. A worker *claims* a due
time, which makes a *run*. When the run ends, the due time has its *outcome*, for ever.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from db import claims, due_times, runs, sync, task_views, tasks
from db.claims import Claimant, Claimed, Offer, StandDown, Taken
from db.engine import Catalogue
from db.errors import StaleVersion
from db.runs import Ending
from db.specs import AnyTask, parse_task
from db.states import Outcome, Reason, RunState, Trigger

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

"""Claims of several workers, edits and claims, all at the same moment and really committed."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from db import claims, sightings, tasks
from db.claims import Answer, Claimant, Claimed, StandDown, Taken
from db.engine import Catalogue
from db.sightings import Sighting
from db.states import Outcome, Reason, RunState
from tests.db.conftest import NOW, an_offer, deployed, edit, ledger, minutes, outcomes
from tests.db.test_edits_at_once import at_once

DUE_AT = NOW + minutes(1)


def claim_by(catalogue: Catalogue, offer: claims.Offer) -> Answer:
    with catalogue.transaction() as session:
        return claims.claim(session, offer, Claimant(uuid4(), "w"), now=DUE_AT)


def a_deployed_task(catalogue: Catalogue, name: str = "backup") -> tuple[UUID, claims.Offer]:
    with catalogue.transaction() as session:
        task_id = deployed(session, name=name)
        return task_id, an_offer(session, task_id, DUE_AT)


@pytest.mark.parametrize("round_", range(3))
def test_of_eight_workers_with_the_same_run_one_gets_it(catalogue: Catalogue, round_: int) -> None:
    task_id, offer = a_deployed_task(catalogue, f"task {round_}")
    answers = at_once(*[lambda: claim_by(catalogue, offer)] * 8)
    assert sorted(type(answer).__name__ for answer in answers) == ["Claimed", *["Taken"] * 7]
    with catalogue.transaction() as session:
        assert ledger(session, task_id)[0].run_id == offer.run_id


def test_of_eight_runs_for_one_due_time_one_is_run(catalogue: Catalogue) -> None:
    _, offer = a_deployed_task(catalogue)
    offers = [replace(offer, run_id=uuid4()) for _ in range(8)]
    answers = at_once(*[lambda each=each: claim_by(catalogue, each) for each in offers])
    assert sum(isinstance(answer, Claimed) for answer in answers) == 1
    assert sum(answer == StandDown(Reason.NOT_DUE) for answer in answers) == 7


def test_of_eight_due_times_of_a_task_that_must_not_overlap_one_is_run(catalogue: Catalogue) -> None:
    task_id, offer = a_deployed_task(catalogue)
    offers = [replace(offer, run_id=uuid4(), due_at=NOW + minutes(minute)) for minute in range(1, 9)]
    answers = at_once(*[lambda each=each: claim_by(catalogue, each) for each in offers])
    assert sum(isinstance(answer, Claimed) for answer in answers) == 1
    with catalogue.transaction() as session:
        assert outcomes(session, task_id)[:8].count((Outcome.SKIPPED, Reason.OVERLAP)) == 7


def test_a_claim_waits_for_the_edit_that_is_being_made_and_sees_it(catalogue: Catalogue) -> None:
    task_id, offer = a_deployed_task(catalogue)

    def change() -> str:
        with catalogue.transaction() as session:
            edit(session, task_id, action={"command": "new"})
        return "changed"

    changed, answer = at_once(change, lambda: claim_by(catalogue, offer))
    assert changed == "changed"
    assert isinstance(answer, Claimed)
    with catalogue.transaction() as session:
        row = ledger(session, task_id)[0]
    assert (row.task_version, answer.version) in {(1, 1), (2, 2)}, "either before the edit, or after it"


@pytest.mark.parametrize("round_", range(4))
def test_a_deletion_is_before_the_claim_or_after_it_and_the_ledger_knows(catalogue: Catalogue, round_: int) -> None:
    task_id, offer = a_deployed_task(catalogue, f"task {round_}")

    def remove() -> None:
        with catalogue.transaction() as session:
            tasks.delete_task(session, task_id, actor="anna", now=DUE_AT)

    _, answer = at_once(remove, lambda: claim_by(catalogue, offer))
    with catalogue.transaction() as session:
        outcome = outcomes(session, task_id)[0]
    if isinstance(answer, Claimed):
        assert outcome == (Outcome.RUNNING, None)
    else:
        assert answer == StandDown(Reason.DELETED)
        assert outcome == (Outcome.CANCELLED, Reason.DELETED)


def test_a_claim_that_was_rolled_back_leaves_the_due_time_to_others(catalogue: Catalogue) -> None:
    _, offer = a_deployed_task(catalogue)
    with catalogue.transaction() as session:
        assert isinstance(claims.claim(session, offer, Claimant(uuid4(), "dies"), now=DUE_AT), Claimed)
        session.rollback()
    assert isinstance(claim_by(catalogue, offer), Claimed)
    assert claim_by(catalogue, offer) == Taken()


@pytest.mark.parametrize("round_", range(10))
def test_a_claim_and_a_sighting_of_the_same_run_wait_for_each_other_in_one_order(
    catalogue: Catalogue, round_: int
) -> None:
    _, offer = a_deployed_task(catalogue, f"task {round_}")
    sighting = Sighting(offer, RunState.RUNNING, DUE_AT, None, None)

    def see() -> bool:
        with catalogue.transaction() as session:
            return sightings.observe(session, sighting, now=DUE_AT)

    answers = at_once(*[see, lambda: claim_by(catalogue, offer)] * 4)
    assert sum(isinstance(answer, Claimed) for answer in answers) <= 1
    assert all(not isinstance(answer, Exception) for answer in answers)

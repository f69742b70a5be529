"""A task of which something is stored that nobody can read stands aside alone: all others are claimed."""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db import claims
from db.claims import Claimed, StandAside, Wanted
from tests.db.conftest import NOW, a_worker, an_offer, deployed, minutes, seconds

DUE = NOW + minutes(1)
MEMBERS = """
    action action.command action.env action.success_exit_codes calendars kind max_lateness_seconds misfire name on_crash
    overlap paused retries retry_backoff schedule schedule.cron schedule.kind schedule.timezone starts_at ends_at tags
    timeout_seconds work_pool nobody_knows"""
PATHS = [[], *(member.split(".") for member in MEMBERS.split())]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
    | st.sampled_from(["Mars/Olympus", "* * * * *", "61 * * * *", "0 0 31 2 *", "0001-01-01T00:00:00+14:00", "cron"])
)
NAMES = st.sampled_from(["kind", "cron", "x"])
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
SPOIL = text(
    "UPDATE tasks SET spec = CASE WHEN :path = '{}' THEN :value ELSE jsonb_set(spec, :path, :value) END WHERE id = :id"
).bindparams(bindparam("path", type_=ARRAY(Text)), bindparam("value", type_=JSONB))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PATHS), JSON, st.booleans())
@example(["schedule", "timezone"], "Mars/Olympus", True)
@example(["schedule", "cron"], "0 0 31 2 *", True)
@example(["action"], None, False)
def test_whatever_is_stored_of_one_task_the_others_are_claimed(
    session: Session, path: list[str], value: Any, is_behind: bool
) -> None:
    """`is_behind`: its ledger has to be completed for the claim, as after an outage."""
    with session.begin_nested() as undone:
        tasks = [deployed(session, name=f"task {number}") for number in range(3)]
        offers = [an_offer(session, task_id, DUE) for task_id in tasks]
        worker = a_worker(session)
        try:
            with session.begin_nested():
                session.execute(SPOIL, {"path": path, "value": value, "id": tasks[1]})
        except DBAPIError:
            undone.rollback()
            return  # PostgreSQL does not store it
        if is_behind:
            ends = text("UPDATE task_status SET planned_until = :until WHERE task_id = :id")
            session.execute(ends, {"until": DUE - seconds(30), "id": tasks[1]})
        wanted = [Wanted(offer, NOW) for offer in offers]
        late = claims.startable(session, offers, now=DUE + seconds(20))
        answers = claims.claim_many(session, wanted, worker, clock=lambda: DUE)
        first, spoiled, third = (answers[offer.run_id] for offer in offers)
        assert isinstance(first, Claimed)
        assert isinstance(third, Claimed)
        assert {offers[0].run_id, offers[2].run_id} <= late
        assert not isinstance(spoiled, StandAside) or spoiled.message
        undone.rollback()


@pytest.mark.parametrize(("path", "value"), [(["schedule", "timezone"], "Mars/Olympus"), (["action"], None)])
def test_what_cannot_be_read_says_which_task_and_why(session: Session, path: list[str], value: Any) -> None:
    task_id = deployed(session)
    offer, worker = an_offer(session, task_id, DUE), a_worker(session)
    session.execute(SPOIL, {"path": path, "value": value, "id": task_id})
    answer = claims.claim(session, offer, worker, now=DUE)
    assert isinstance(answer, StandAside)
    assert str(task_id) in answer.message
    assert path[-1] in answer.message

"""A run that is between two attempts keeps no slot: also where there is one alone, everything goes on."""

import time

import pytest

from db import run_requests
from db.states import RunState
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace
from tests.worker.test_worker import once_in, shell

pytestmark = pytest.mark.xdist_group("prefect")


def test_with_one_slot_runs_are_tried_again_and_others_go_on_meanwhile(workplace: Workplace) -> None:
    workplace.start_worker(options=["--limit", "1"])
    again = {"retries": 1, "retry_delay_seconds": 6}
    failing = workplace.world.create("failing", action=shell("false"), schedule=once_in(2), **again)
    [retried] = wait_until(
        lambda: [run for run in workplace.runs_of(failing) if run.state == RunState.RETRYING], "another attempt to wait"
    )
    other = workplace.world.create("other", action=shell("true"), schedule=once_in(1))
    assert workplace.ended(other)[0].state == RunState.COMPLETED
    assert workplace.ended(failing)[0].state == RunState.FAILED
    assert workplace.ended(failing)[0].attempt == 2
    # One that waits for the slot when it is time for its next attempt can be cancelled.
    long = workplace.world.create("long", action=shell("sleep 60"), schedule={"kind": "manual"})
    waiting = workplace.world.create("waiting", action=shell("false"), schedule=once_in(2), **again)
    [run] = wait_until(
        lambda: [run for run in workplace.runs_of(waiting) if run.state == RunState.RETRYING], "it to fail once"
    )
    occupying = workplace.run_now(long)
    wait_until(lambda: [r for r in workplace.runs_of(long) if r.state == RunState.RUNNING], "the slot to be taken")
    time_of_next = time.monotonic() + 7
    wait_until(lambda: time.monotonic() > time_of_next, "the time of its next attempt to be over")
    for cancelled in (run, occupying):
        with workplace.catalogue.transaction() as session:
            run_requests.cancel(session, cancelled.id, actor="test", now=now())
        wait_until(
            lambda cancelled=cancelled: [  # type: ignore[misc]
                each
                for task in (waiting, long)
                for each in workplace.runs_of(task)
                if each.id == cancelled.id and each.state == RunState.CANCELLED
            ],
            "it to be cancelled",
            seconds=20,
        )
    assert retried.id != run.id

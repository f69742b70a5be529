"""After an hour in which nothing of the system was there, each task is made up for as it says."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from db import tasks
from db.specs import parse_task
from db.states import Outcome, Reason, Trigger
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace
from tests.worker.test_worker import shell

pytestmark = pytest.mark.xdist_group("prefect")

HOUR = timedelta(hours=1)
EVERY_FIVE_MINUTES = {"kind": "cron", "cron": "*/5 * * * *", "timezone": "UTC"}


def made_before_the_outage(workplace: Workplace, name: str, **policies: Any) -> UUID:
    """A task whose first due times nobody has seen: its ledger ends where the outage began."""
    document = {
        "name": name,
        "kind": "shell",
        "action": shell("true"),
        "schedule": EVERY_FIVE_MINUTES,
        "ends_at": now().isoformat(),
    }
    with workplace.catalogue.transaction() as session:
        return tasks.create_task(session, parse_task(document | policies), actor="test", now=now() - HOUR)


def decided(workplace: Workplace, task: UUID) -> Counter[tuple[str, str | None]]:
    """What became of the twelve due times."""

    def look() -> Counter[tuple[str, str | None]]:
        rows = workplace.due_times_of(task)
        found = Counter((row.outcome, row.reason) for row in rows if row.decided_at)
        return found if found.total() == 12 else Counter()

    return wait_until(look, "all to be decided", seconds=90)


def test_each_policy_makes_up_for_an_outage_of_an_hour_as_it_says(workplace: Workplace) -> None:
    latest = made_before_the_outage(workplace, "latest")
    every = made_before_the_outage(workplace, "all", misfire="all")
    none = made_before_the_outage(workplace, "none", misfire="skip")
    within = made_before_the_outage(workplace, "within", misfire="all", max_lateness_seconds=1000)
    workplace.start_worker()

    assert decided(workplace, latest) == {(Outcome.SKIPPED, Reason.SUPERSEDED): 11, (Outcome.RAN, None): 1}
    assert decided(workplace, every) == {(Outcome.RAN, None): 12}
    on_time = Counter(decided(workplace, none))
    assert on_time[Outcome.MISSED, Reason.LATE] in (11, 12)
    allowed = Counter(decided(workplace, within))
    assert allowed[Outcome.RAN, None] in (3, 4)
    assert allowed[Outcome.MISSED, Reason.LATE] == 12 - allowed[Outcome.RAN, None]

    runs = sorted(workplace.runs_of(every), key=lambda run: run.due_at)
    assert {run.trigger for run in runs[:-1]} == {Trigger.CATCH_UP}
    moments = [moment for run in runs for moment in (run.started_at, run.ended_at) if moment is not None]
    assert len(moments) == 24
    assert moments == sorted(moments), "the oldest first, one after the other"

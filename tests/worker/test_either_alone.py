"""On time twice over: Prefect's scheduler and our reconciler both see to it that a due time has its run.

Each is taken away in turn, and every due time is met.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import median
from uuid import UUID

import pytest

from db.states import Outcome
from db.tables import DueTime
from tests.prefect_server import PrefectServer
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace
from tests.worker.test_worker import once_in, scheduled_runs, shell

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(600)]

EVERY_FIVE_SECONDS = {"kind": "cron", "cron": "* * * * * */5", "timezone": "UTC"}
FOR = timedelta(seconds=25)


@pytest.fixture
def without_scheduler(shared_prefect_server: PrefectServer) -> Iterator[None]:
    """Prefect's server makes no run by itself."""
    shared_prefect_server.stop()
    shared_prefect_server.has_scheduler = False
    shared_prefect_server.start()
    yield
    shared_prefect_server.stop()
    shared_prefect_server.has_scheduler = True
    shared_prefect_server.start()


def met(workplace: Workplace, task: UUID, since: datetime) -> list[DueTime]:
    """What became of the due times of a while, once they are decided."""
    until = since + FOR

    def look() -> list[DueTime]:
        rows = [row for row in workplace.due_times_of(task) if since < row.due_at <= until]
        return rows if now() > until and all(row.decided_at for row in rows) else []

    return wait_until(look, "the due times to be decided", seconds=60)


def ran_on_time(rows: list[DueTime]) -> bool:
    """All ran, and most of them on time: a busy machine may hold one up."""
    lateness = [row.lateness_seconds or 0 for row in rows]
    return all(row.outcome == Outcome.RAN for row in rows) and median(lateness) < 2 and max(lateness) < 20


@pytest.mark.usefixtures("without_scheduler")
def test_with_prefects_scheduler_switched_off_the_reconciler_alone_has_every_due_time_met(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("true"), schedule=EVERY_FIVE_SECONDS, overlap="allow")
    wait_until(lambda: workplace.world.task(task).deployed, "its deployment")
    rows = met(workplace, task, now() + timedelta(seconds=5))
    assert len(rows) == 5
    assert ran_on_time(rows), [(row.outcome, row.reason, row.lateness_seconds) for row in rows]
    ahead = max(datetime.fromisoformat(run["expected_start_time"]) for run in scheduled_runs(workplace)) - now()
    assert ahead < timedelta(seconds=60), "Prefect's scheduler would have made a hundred"


def test_with_the_reconciler_gone_prefect_and_the_worker_alone_have_every_due_time_met(workplace: Workplace) -> None:
    workplace.start_worker()
    task = workplace.world.create(action=shell("true"), schedule=EVERY_FIVE_SECONDS, overlap="allow")
    one_shot = workplace.world.create("one-shot", action=shell("true"), schedule=once_in(20))
    wait_until(lambda: any(run["auto_scheduled"] for run in scheduled_runs(workplace)), "Prefect to make runs")
    wait_until(lambda: workplace.world.task(one_shot).deployed, "the one-shot to be deployed")
    workplace.stop_reconciler()
    rows = met(workplace, task, now())
    assert len(rows) == 5
    assert ran_on_time(rows), [(row.outcome, row.reason, row.lateness_seconds) for row in rows]
    [row] = workplace.due_times_of(one_shot)
    assert ran_on_time([row])

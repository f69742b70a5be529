"""Ready means that what is due now starts: what does not, or would not, is named with its reason and since when."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard import bounded
from dashboard.api.health import HealthCheck, health_routes, readiness
from dashboard.bounded import Bounded
from dashboard.readiness import PASSES
from db import heartbeats, loop_failures, notification_queue, partitions, sync, tasks, workers
from db.engine import Catalogue
from db.specs import parse_task
from db.states import Outcome, Reason
from db.tables import DueTime, Run, Worker
from db.workers import Failing, Report
from reconciler.loop import Reconciler
from reconciler.prefect import Prefect
from tests.proxy import Mode, Proxy, through

SECOND = timedelta(seconds=1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def well(catalogue: Catalogue) -> Catalogue:
    """A catalogue of a system in which everybody is there."""
    with catalogue.transaction() as session:
        partitions.ensure_partitions(session, now=now() - timedelta(days=1))
        heartbeats.beat(session, heartbeats.PREFECT, now=now())
        assert heartbeats.hold_lease(session, heartbeats.RECONCILER, uuid4(), now=now())
        workers.register(session, worker_id=uuid4(), name="w1", work_pool="default", host="h", pid=1, now=now())
    return catalogue


def due(session: Session, *, ago: float, name: str = "backup", **changes: Any) -> UUID:
    """A task that was due so many seconds ago and has not been claimed."""
    at = now() - ago * SECOND
    spec = {"name": name, "kind": "shell", "action": {"command": "true"}, **changes}
    spec["schedule"] = {"kind": "once", "at": at.isoformat()}
    task_id = tasks.create_task(session, parse_task(spec), actor="anna", now=at - SECOND)
    sync.record_synced(session, task_id, version=1, deployment_id=uuid4(), applied={})
    return task_id


def unwell(catalogue: Catalogue) -> dict[str, str]:
    """The parts for which it is not ready, and why."""
    found = readiness(catalogue, now=now())
    parts = {name: part.detail for name, part in found.parts.items() if part.required and not part.ok}
    assert found.ready == (not parts)
    return parts


def test_a_system_in_which_all_is_well_is_ready(well: Catalogue) -> None:
    with well.transaction() as session:
        due(session, ago=5)
    assert unwell(well) == {}


def test_what_was_due_over_a_minute_ago_and_is_not_decided_is_named(well: Catalogue) -> None:
    with well.transaction() as session:
        due(session, ago=90, name="backup")
        due(session, ago=80, name="report")
    found = readiness(well, now=now()).parts["due_times"]
    assert not found.ok
    assert found.detail.startswith("2 due times wait for longer than a minute. backup, due at ")
    assert "UTC: No worker has taken it. report, due at " in found.detail
    assert found.since is not None
    assert timedelta(seconds=89) < now() - found.since < timedelta(seconds=200)
    assert set(unwell(well)) == {"due_times"}


Change = Callable[[Session, UUID], object]


def _queued(session: Session, task_id: UUID) -> None:
    session.execute(update(DueTime).where(DueTime.task_id == task_id).values(reason=Reason.QUEUED))


def _paused(session: Session, task_id: UUID) -> None:
    tasks.pause_task(session, task_id, actor="anna", now=now())
    session.execute(update(DueTime).values(outcome=Outcome.PENDING, reason=None, decided_at=None))


def _refused(session: Session, task_id: UUID) -> None:
    assert sync.record_error(session, task_id, "no such entrypoint")


def _goes_on(session: Session, task_id: UUID) -> None:
    at = now()
    run = {"id": uuid4(), "due_at": at, "task_id": task_id, "task_name": "backup", "task_version": 1}
    session.add(Run(**run, trigger="catch_up", state="running", started_at=at))


@pytest.mark.parametrize("change", [_queued, _paused, _refused, _goes_on])
def test_what_waits_for_a_reason_of_its_own_task_keeps_nobody_from_being_ready(well: Catalogue, change: Change) -> None:
    with well.transaction() as session:
        change(session, due(session, ago=90))
    assert unwell(well) == {}


def drain(session: Session) -> None:
    for worker in workers.present(session, now=now()):
        workers.drain(session, worker.id, on=True, actor="anna", now=now())


def test_all_workers_drained_is_not_ready_whether_something_is_due_or_not(well: Catalogue) -> None:
    with well.transaction() as session:
        drain(session)
    why = "Nothing takes runs of pool default: its only worker is drained."
    assert unwell(well) == {"workers": why}
    with well.transaction() as session:
        due(session, ago=90)
    found = unwell(well)
    assert (found["workers"], found["pools"]) == (why, why)
    assert found["due_times"].endswith(f"UTC: {why}")


def test_a_pool_that_nobody_serves_is_named_once_something_is_due_there(well: Catalogue) -> None:
    with well.transaction() as session:
        due(session, ago=1, work_pool="gpu")
    assert unwell(well) == {
        "pools": "Nothing takes runs of pool gpu: it has no worker. "
        "Start one: prefect worker start --pool 'gpu' --type warm."
    }


def test_workers_without_a_free_slot_are_named_when_something_waits_for_one(well: Catalogue) -> None:
    with well.transaction() as session:
        session.execute(update(Worker).values(slots=0))
        due(session, ago=2)
    assert unwell(well) == {}
    with well.transaction() as session:
        due(session, ago=20, name="other")
    assert unwell(well) == {
        "pools": "Nothing takes runs of pool default: its only worker is full (0 of 0 slots are taken)."
    }


@pytest.mark.parametrize("seconds", [0.5, 4])
def test_claims_that_go_on_failing_are_named(well: Catalogue, seconds: float) -> None:
    with well.transaction() as session:
        [worker] = workers.present(session, now=now())
        failing = Failing(now() - seconds * SECOND, "PostgreSQL has no disk space left")
        assert workers.beat(session, worker.id, report=Report([], failing), now=now())
    found = readiness(well, now=now()).parts["claims"]
    assert found.ok == (seconds < 2)
    if not found.ok:
        assert found.detail == "Worker w1 cannot claim: PostgreSQL has no disk space left."
        assert found.since == failing.since


def test_a_pass_that_is_not_made_is_named_with_its_error(well: Catalogue) -> None:
    with well.transaction() as session:
        long_ago = now() - timedelta(minutes=5)
        session.execute(text("DELETE FROM heartbeats WHERE part = 'reconciler'"))
        holder = uuid4()
        for seconds in range(300, -1, -5):
            assert heartbeats.hold_lease(session, heartbeats.RECONCILER, holder, now=now() - seconds * SECOND)
        made = {"write_ahead": long_ago.isoformat(), "follow": now().isoformat(), "requested": now().isoformat()}
        made |= dict.fromkeys(("deploy", "resume", "chains", "lost_workers"), now().isoformat())
        heartbeats.beat(session, heartbeats.PASSES, now=now(), details=made)
        failed = {"reconciler.write_ahead": (40, "CheckViolation 23514 at partitions.py:12")}
        loop_failures.add(session, "reconciler", failed, now=now())
    found = readiness(well, now=now()).parts["passes"]
    assert not found.ok
    assert found.detail.startswith("write_ahead was last made ")
    assert found.detail.endswith("s ago (CheckViolation 23514 at partitions.py:12).")
    assert found.since == long_ago


def test_a_catalogue_that_takes_no_writes_is_not_ready(well: Catalogue) -> None:
    name = well.url.rpartition("/")[2]
    with well.transaction() as session:
        session.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    standby = Catalogue(well.url)
    found = unwell(standby)
    assert found["postgresql"].startswith("PostgreSQL takes no writes")
    standby.close()


def test_a_queue_of_notifications_that_fills_is_named_and_decides_nothing(
    well: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_queue, "ALARM_SHARE", 0.0)
    found = readiness(well, now=now())
    assert found.ready
    assert not found.parts["notifications"].ok
    assert "nothing can be written any more" in found.parts["notifications"].detail


def test_it_answers_in_time_when_postgresql_is_silent_and_one_slow_second_changes_nothing(
    well: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "AT_MOST_EVERY_SECONDS", 0.0)
    head, _, tail = well.url.rpartition("@")
    host, _, port = tail.partition("/")[0].partition(":")
    assert head
    with Proxy(host, int(port)) as proxy:
        proxied = Catalogue(through(proxy, well.url), pool_size=1)
        with TestClient(Starlette(routes=health_routes(HealthCheck(proxied)))) as client:
            assert client.get("/readyz").status_code == 200
            proxy.mode = Mode.SWALLOW
            began = time.monotonic()
            assert client.get("/readyz").status_code == 200
            monkeypatch.setattr(bounded, "KEPT_SECONDS", 0.0)
            answer = client.get("/readyz")
            assert time.monotonic() - began < 2 * 2
            assert answer.status_code == 503
            part = answer.json()["parts"]["postgresql"]
            assert part["detail"].startswith("It has not answered for ")
            assert part["since"]
            proxy.mode = Mode.PASS
        proxied.close()


def test_whoever_asks_while_somebody_looks_waits_for_the_same_look() -> None:
    looks, door = 0, threading.Event()

    def look() -> int:
        nonlocal looks
        looks += 1
        assert door.wait(10)
        return looks

    async def ask() -> list[int]:
        asked = Bounded(look, lambda _seconds: -1)
        waiting = [asyncio.create_task(asked.answer()) for _ in range(20)]
        await asyncio.sleep(0)
        door.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(ask()) == [1] * 20


def test_whatever_a_look_raises_is_answered_as_not_ready(well: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_it(*_: object, **__: object) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr("dashboard.api.health.read", break_it)
    with TestClient(Starlette(routes=health_routes(HealthCheck(well)))) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["postgresql"]["detail"] == "How it is could not be found out: KeyError."


def test_it_is_said_since_when_a_part_is_not_well(well: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "AT_MOST_EVERY_SECONDS", 0.0)
    with well.transaction() as session:
        session.execute(text("DELETE FROM heartbeats WHERE part = 'prefect'"))
    began = now()
    with TestClient(Starlette(routes=health_routes(HealthCheck(well)))) as client:
        first, second = (client.get("/readyz").json()["parts"] for _ in range(2))
        assert first["prefect"]["since"] == second["prefect"]["since"]
        assert began <= datetime.fromisoformat(first["prefect"]["since"]) <= now()
        assert first["workers"]["since"] is None


def test_the_passes_without_which_something_does_not_start_are_passes_of_the_reconciler(catalogue: Catalogue) -> None:
    reconciler = Reconciler(catalogue, Prefect("http://127.0.0.1:9/api"))
    assert PASSES.keys() <= {each.name for each in reconciler.passes}
    reconciler.close()

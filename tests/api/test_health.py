"""Whether the system is well, as far as the catalogue tells. The parts that would beat are played by the tests."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.api.health import HealthCheck, health_routes, readiness
from db import heartbeats, workers
from db.engine import Catalogue

DECIDING = {"postgresql", "prefect", "reconciler", "passes", "workers", "pools", "claims", "due_times"}
BESIDE = {"ledger", "notifications"}


def beat(catalogue: Catalogue, *, silent: str = "") -> None:
    """Every part was heard of just now, but one, a while ago."""
    now = datetime.now(UTC)
    long_ago = now - timedelta(seconds=40)
    with catalogue.transaction() as session:
        for part in (heartbeats.PREFECT, heartbeats.RECONCILER):
            heartbeats.beat(session, part, now=long_ago if part == silent else now)
        heard_at = long_ago if silent == "workers" else now
        workers.register(session, worker_id=uuid4(), name="w", work_pool="default", host="here", pid=1, now=heard_at)


def test_it_is_ready_when_every_part_is_well(catalogue: Catalogue, api: TestClient) -> None:
    beat(catalogue)
    answer = api.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    parts = answer.json()["parts"]
    assert {name for name, part in parts.items() if part["required"]} == DECIDING
    assert set(parts) == DECIDING | BESIDE


@pytest.mark.parametrize("silent", ["prefect", "reconciler", "workers"])
def test_the_part_that_is_not_well_is_named(catalogue: Catalogue, silent: str) -> None:
    beat(catalogue, silent=silent)
    found = readiness(catalogue, now=datetime.now(UTC))
    assert not found.ready
    assert {name for name, part in found.parts.items() if not part.ok and part.required} == {silent}
    assert found.parts[silent].detail


def test_before_the_first_pass_nothing_but_postgresql_is_well(api: TestClient) -> None:
    answer = api.get("/readyz")
    assert answer.status_code == 503
    unwell = {name for name, part in answer.json()["parts"].items() if not part["ok"]}
    assert unwell == {"prefect", "reconciler", "workers", "ledger"}


def test_a_worker_that_stopped_does_not_count(catalogue: Catalogue) -> None:
    beat(catalogue)
    with catalogue.transaction() as session:
        for worker in workers.present(session, now=datetime.now(UTC)):
            workers.stop(session, worker.id, now=datetime.now(UTC))
    assert not readiness(catalogue, now=datetime.now(UTC)).parts["workers"].ok


def test_without_tables_it_says_what_to_do(database_url: str) -> None:
    catalogue = Catalogue(database_url)
    found = readiness(catalogue, now=datetime.now(UTC))
    assert not found.ready
    assert "migrat" in found.parts["postgresql"].detail
    catalogue.close()


def test_the_root_answers_the_same(catalogue: Catalogue) -> None:
    beat(catalogue)
    with TestClient(Starlette(routes=health_routes(HealthCheck(catalogue)))) as root:
        assert root.get("/healthz").json() == {"status": "ok"}
        assert root.get("/readyz").status_code == 200


def audited(catalogue: Catalogue, *, ago: timedelta = timedelta(0), **told: Any) -> None:
    """The reconciler has audited the ledger and noted what it found."""
    nothing = {"due_times": 1234, "accounted": 1234, "waiting": 0, "discrepancies": [], "discrepancy_count": 0}
    with catalogue.transaction() as session:
        heartbeats.beat(session, heartbeats.AUDIT, now=datetime.now(UTC) - ago, details=nothing | told)


def a_discrepancy(task: str) -> dict[str, str]:
    due_at = "2026-12-02T14:05:00+00:00"
    return {"task_id": str(uuid4()), "task_name": task, "due_at": due_at, "what": "There is no row."}


@pytest.mark.parametrize(
    ("told", "detail"),
    [
        ({}, "1,234 due times in the last hour, all accounted for."),
        ({"due_times": 1, "accounted": 1}, "1 due time in the last hour, accounted for."),
        ({"due_times": 0, "accounted": 0}, "Nothing was due in the last hour."),
        ({"waiting": 2}, "1,234 due times in the last hour, all accounted for; 2 of them still wait."),
    ],
)
def test_the_ledger_is_well_when_all_due_times_are_accounted_for(
    catalogue: Catalogue, told: dict[str, Any], detail: str
) -> None:
    audited(catalogue, ago=timedelta(minutes=4), **told)
    part = readiness(catalogue, now=datetime.now(UTC)).parts["ledger"]
    assert (part.ok, part.detail) == (True, detail)


def test_a_discrepancy_is_told_and_decides_nothing(catalogue: Catalogue, api: TestClient) -> None:
    beat(catalogue)
    found = [a_discrepancy(name) for name in ("backup", "report", "sync", "fourth")]
    audited(catalogue, accounted=1229, discrepancies=found, discrepancy_count=5)
    answer = api.get("/readyz")
    assert answer.status_code == 200
    part = answer.json()["parts"]["ledger"]
    assert not part["ok"]
    assert part["detail"].startswith(
        "5 discrepancies among 1,234 due times of the last hour: backup, due at 14:05:00 UTC"
    )
    assert "sync" in part["detail"]
    assert "fourth" not in part["detail"]
    assert part["detail"].endswith("And 2 more.")


def test_an_audit_that_is_absent_or_old_is_no_proof(catalogue: Catalogue) -> None:
    beat(catalogue)
    for ago, said in ((None, "not been audited yet"), (timedelta(minutes=7), "7 minutes ago")):
        if ago is not None:
            audited(catalogue, ago=ago)
        found = readiness(catalogue, now=datetime.now(UTC))
        assert found.ready
        assert not found.parts["ledger"].ok
        assert said in found.parts["ledger"].detail

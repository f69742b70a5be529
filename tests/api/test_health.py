"""Whether the system is well, as far as the catalogue tells. The parts that would beat are played by the tests."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.api.health import health_routes, readiness
from db import heartbeats, workers
from db.engine import Catalogue

PARTS = {"postgresql", "prefect", "reconciler", "workers"}


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
    assert set(answer.json()["parts"]) == PARTS


@pytest.mark.parametrize("silent", ["prefect", "reconciler", "workers"])
def test_the_part_that_is_not_well_is_named(catalogue: Catalogue, silent: str) -> None:
    beat(catalogue, silent=silent)
    found = readiness(catalogue, now=datetime.now(UTC))
    assert not found.ready
    assert {name for name, part in found.parts.items() if not part.ok} == {silent}
    assert found.parts[silent].detail


def test_before_the_first_pass_nothing_but_postgresql_is_well(api: TestClient) -> None:
    answer = api.get("/readyz")
    assert answer.status_code == 503
    assert {name for name, part in answer.json()["parts"].items() if part["ok"]} == {"postgresql"}


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
    with TestClient(Starlette(routes=health_routes(catalogue))) as root:
        assert root.get("/healthz").json() == {"status": "ok"}
        assert root.get("/readyz").status_code == 200

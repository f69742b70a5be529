"""What Prometheus is told, on a real catalogue; the parts that would beat are played by the tests."""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from dashboard.api.app import create_api
from dashboard.api.metrics import metrics_route
from dashboard.live import Hub
from db import heartbeats, loop_failures, loop_lag, loops, tasks, workers
from db.engine import Catalogue
from db.loops import records
from db.specs import parse_task
from db.states import Outcome, Reason
from db.tables import DueTime
from tests.api.conftest import document
from tests.doors import gated, let_in

MANUAL = {"kind": "manual"}


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def doors(catalogue: Catalogue) -> Iterator[TestClient]:
    """The root and the API, as the process serves them."""
    routes = [metrics_route(catalogue), Mount("/api", create_api(catalogue, Hub(catalogue.url)))]
    with TestClient(let_in(Starlette(routes=routes))) as client:
        yield client


@pytest.fixture
def root(catalogue: Catalogue) -> Iterator[TestClient]:
    with doors(catalogue) as client:
        yield client


def scraped(client: TestClient, path: str = "/metrics") -> dict[str, float]:
    """Each sample by its name and label, as Prometheus understands the answer."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == "no-store"
    samples = (sample for family in text_string_to_metric_families(answer.text) for sample in family.samples)
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


def a_task(catalogue: Catalogue, **changes: object) -> UUID:
    spec = parse_task(document(schedule=MANUAL, **changes))
    with catalogue.transaction() as session:
        return tasks.create_task(session, spec, actor="anna", now=now())


def was_due(catalogue: Catalogue, task_id: UUID, *, ago: timedelta, outcome: Outcome, reason: Reason | None) -> None:
    at = now()
    decided = {} if outcome is Outcome.PENDING else {"decided_at": at}
    row = {"task_id": task_id, "due_at": at - ago, "task_version": 1, "outcome": outcome, "reason": reason}
    with catalogue.transaction() as session:
        session.execute(insert(DueTime).values(row | decided))


def audited(catalogue: Catalogue, *, ago: timedelta = timedelta(0), **told: object) -> None:
    nothing = {"due_times": 0, "accounted": 0, "waiting": 0, "discrepancies": [], "discrepancy_count": 0}
    with catalogue.transaction() as session:
        heartbeats.beat(session, heartbeats.AUDIT, now=now() - ago, details=nothing | told)


def test_an_empty_catalogue_has_figures_and_leaves_out_what_is_not_known(root: TestClient) -> None:
    found = scraped(root)
    assert found["duetime_workers"] == 0
    assert found["duetime_tasks active"] == found["duetime_tasks paused"] == 0
    assert {found[f"duetime_due_times {outcome}"] for outcome in Outcome} == {0}
    assert not [name for name in found if name.startswith(("duetime_audit", "duetime_part"))]


def test_the_audit_is_told_with_its_age(catalogue: Catalogue, root: TestClient) -> None:
    audited(catalogue, ago=timedelta(seconds=90), due_times=1234, accounted=1232, discrepancy_count=3)
    found = scraped(root)
    assert found["duetime_audit_due_times"] == 1234
    assert found["duetime_audit_accounted"] == 1232
    assert found["duetime_audit_discrepancies"] == 3
    assert 90 <= found["duetime_audit_age_seconds"] < 120


def test_due_times_of_the_last_hour_are_counted_by_what_became_of_them(catalogue: Catalogue, root: TestClient) -> None:
    one, other = a_task(catalogue), a_task(catalogue)
    for task_id, minutes, outcome in (
        (one, 1, Outcome.SKIPPED),
        (one, 59, Outcome.SKIPPED),
        (other, 5, Outcome.MISSED),
        (other, 61, Outcome.MISSED),
        (other, -5, Outcome.PENDING),
    ):
        reason = None if outcome is Outcome.PENDING else Reason.LATE
        was_due(catalogue, task_id, ago=timedelta(minutes=minutes), outcome=outcome, reason=reason)
    found = scraped(root)
    counted = {outcome: found[f"duetime_due_times {outcome}"] for outcome in Outcome}
    assert {outcome: count for outcome, count in counted.items() if count} == {Outcome.SKIPPED: 2, Outcome.MISSED: 1}


def test_tasks_workers_and_parts_are_told(catalogue: Catalogue, root: TestClient) -> None:
    for paused in (False, False, True):
        a_task(catalogue, paused=paused)
    deleted = a_task(catalogue)
    with catalogue.transaction() as session:
        tasks.delete_task(session, deleted, actor="anna", now=now())
        heartbeats.beat(session, heartbeats.PREFECT, now=now() - timedelta(seconds=7))
        for heard_at in (now(), now() - workers.LOST_AFTER * 2):
            workers.register(session, worker_id=uuid4(), name="w", work_pool="default", host="h", pid=1, now=heard_at)
    found = scraped(root)
    assert (found["duetime_tasks active"], found["duetime_tasks paused"]) == (2, 1)
    assert found["duetime_workers"] == 1
    assert 7 <= found["duetime_part_heartbeat_age_seconds prefect"] < 30
    assert "duetime_part_heartbeat_age_seconds reconciler" not in found


def test_failures_of_loops_are_told_by_part_and_loop_and_passes_by_their_age(
    catalogue: Catalogue, root: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_RECORDS", {})
    loops.record_of("hub").failed(KeyError())
    with catalogue.transaction() as session:
        for part in ("worker", "dashboard"):
            loop_failures.add(session, part, {"poll": (3, "KeyError")}, now=now())
        made = {"write_ahead": (now() - timedelta(seconds=9)).isoformat()}
        heartbeats.beat(session, heartbeats.PASSES, now=now(), details=made)
    found = scraped(root)
    failures = {name: count for name, count in found.items() if name.startswith("duetime_loop_failures_total")}
    assert failures == {"duetime_loop_failures_total poll worker": 3, "duetime_loop_failures_total hub dashboard": 1}
    assert 9 <= found["duetime_pass_age_seconds write_ahead"] < 30


def test_the_api_tells_the_same_and_describes_it(root: TestClient) -> None:
    assert set(scraped(root, "/api/metrics")) == set(scraped(root))
    described = root.get("/api/openapi.json").json()["paths"]["/metrics"]["get"]
    assert set(described["responses"]["200"]["content"]) == {"text/plain"}


def test_the_lag_of_the_event_loop_is_told(root: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_lag, "worst_seconds", lambda: 1.5)
    assert scraped(root)["duetime_event_loop_lag_seconds dashboard"] == 1.5


def test_the_lag_of_a_workers_event_loop_is_told(catalogue: Catalogue, root: TestClient) -> None:
    worker_id = uuid4()
    with catalogue.transaction() as session:
        workers.register(session, worker_id=worker_id, name="w", work_pool="default", host="h", pid=1, now=now())
        assert workers.beat(session, worker_id, report=workers.Report(loop_lag_seconds=0.25), now=now())
    assert scraped(root)["duetime_worker_event_loop_lag_seconds w"] == 0.25


def test_every_figure_says_what_it_is(root: TestClient) -> None:
    families = list(text_string_to_metric_families(root.get("/metrics").text))
    assert len(families) >= 3
    assert all(family.documentation.endswith(".") for family in families)
    assert {family.type for family in families} == {"gauge", "histogram", "counter"}


def test_a_scrape_tells_of_now_and_not_of_the_one_before(catalogue: Catalogue, root: TestClient) -> None:
    assert scraped(root)["duetime_tasks active"] == 0
    a_task(catalogue)
    assert scraped(root)["duetime_tasks active"] == 1


@pytest.mark.parametrize("path", ["/metrics", "/api/metrics"])
def test_without_tables_or_a_database_it_says_so_in_words(database_url: str, path: str) -> None:
    nowhere = "postgresql://nobody:x@127.0.0.1:1/none"
    for url, said in ((database_url, "duetime migrate"), (nowhere, "PostgreSQL")):
        catalogue = Catalogue(url)
        with doors(catalogue) as client:
            answer = client.get(path)
        assert answer.status_code == 503
        assert said in answer.text
        assert answer.headers["content-type"].startswith("text/plain")
        assert int(answer.headers["retry-after"]) > 0
        catalogue.close()


def test_it_is_behind_the_password_as_the_api_is(catalogue: Catalogue) -> None:
    password = "correct horse battery"
    app = Starlette(routes=[metrics_route(catalogue), Mount("/api", create_api(catalogue, Hub(catalogue.url)))])
    client = TestClient(gated(app, catalogue, {"DUETIME_PASSWORD": password}), base_url="http://localhost:3000")
    sent = {"Authorization": f"Basic {base64.b64encode(f'prometheus:{password}'.encode()).decode()}"}
    for path in ("/metrics", "/api/metrics"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=sent).status_code == 200


def test_the_dashboard_for_grafana_asks_for_figures_that_there_are(catalogue: Catalogue) -> None:
    with doors(catalogue) as client:
        exposed = client.get("/metrics").text
    there = {line.split(" ")[2] for line in exposed.splitlines() if line.startswith("# TYPE ")}
    board = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text())
    asked = re.findall(r"duetime_\w+", " ".join(one["expr"] for each in board["panels"] for one in each["targets"]))
    assert asked
    # What is not known yet is not told: there was no audit, and no part was heard of.
    unknown = {"duetime_audit_accounted", "duetime_audit_due_times", "duetime_audit_discrepancies"}
    assert {name.removesuffix("_bucket") for name in asked} <= there | unknown

"""Runs over REST. Where no worker runs, the tests write what one would have: they hold a world, on a real catalogue."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from dashboard.api import requested
from db import logs, run_requests, runs, starts
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.logs import Line
from db.runs import Ending, RunKey
from db.states import Level, RunState, Stream
from db.tables import RunRequest
from tests.api.conftest import created

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def ran(catalogue: Catalogue, task: dict[str, Any], *, due_at: datetime, run_id: UUID | None = None) -> UUID:
    """A run of the task that a worker executes."""
    key = RunKey(run_id or uuid4(), due_at)
    with catalogue.transaction() as session:
        start = starts.Start(key, UUID(task["id"]), task["name"], 1, "schedule", due_at)
        started_at = due_at + timedelta(seconds=0.25)
        starts.start_many(session, [start], worker_id=uuid4(), worker="worker-1", started_at=started_at)
    return key.id


def printed(catalogue: Catalogue, run_id: UUID, *messages: str) -> None:
    lines = [Line(run_id, datetime.now(UTC), Level.INFO, Stream.STDOUT, message) for message in messages]
    with catalogue.transaction() as session:
        logs.append(session, lines)


@contextmanager
def reconciling(catalogue: Catalogue) -> Iterator[None]:
    """A thread plays the reconciler: it makes runs of requests in the same catalogue, without a Prefect server."""
    stopped = threading.Event()

    def make() -> None:
        while not stopped.wait(0.02):
            with catalogue.transaction() as session:
                for request in run_requests.open_requests(session, now=datetime.now(UTC)):
                    run_requests.fulfil(session, request, uuid4())

    reconciler = threading.Thread(target=make)
    reconciler.start()
    yield
    stopped.set()
    reconciler.join(20)


def test_runs_are_listed_newest_first_page_by_page(api: TestClient, catalogue: Catalogue) -> None:
    task = created(api)
    # Several of them are due at once, so that a page ends between two of the same instant.
    made = [
        (NOON + timedelta(seconds=n // 3), ran(catalogue, task, due_at=NOON + timedelta(seconds=n // 3)))
        for n in range(8)
    ]
    found: list[str] = []
    cursor = None
    while cursor is not None or not found:
        page = api.get("/runs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        found += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]
    assert found == [str(run_id) for _, run_id in sorted(made, reverse=True)]


def test_runs_are_narrowed_by_task_state_and_time(api: TestClient, catalogue: Catalogue) -> None:
    task, other = created(api), created(api)
    first, second = ran(catalogue, task, due_at=NOON), ran(catalogue, task, due_at=NOON + timedelta(minutes=1))
    third = ran(catalogue, other, due_at=NOON)
    with catalogue.transaction() as session:
        runs.end_unclaimed(session, RunKey(uuid4(), NOON), Ending(RunState.FAILED, NOON))
        worker = runs.get_run(session, second).worker_id
        assert worker is not None
        ending = Ending(RunState.FAILED, NOON + timedelta(minutes=2), exit_code=3, error="exit code 3")
        assert runs.finish(session, RunKey(second, NOON + timedelta(minutes=1)), ending, worker_id=worker)

    def ids(**query: str) -> set[UUID]:
        return {UUID(run["id"]) for run in api.get("/runs", params=query).json()["items"]}

    assert ids(task_id=task["id"]) == {first, second}
    assert ids(state="running") == {first, third}
    assert ids(state="failed") == {second}
    assert ids(to=(NOON + timedelta(minutes=1)).isoformat()) == {first, third}
    assert ids(**{"from": (NOON + timedelta(minutes=1)).isoformat()}) == {second}
    run = api.get(f"/runs/{second}").json()
    assert (run["exit_code"], run["error"], run["lateness_seconds"]) == (3, "exit code 3", 0.25)
    assert api.get(f"/tasks/{task['id']}").json()["last_run"] == run


def test_a_log_is_continued_where_the_last_answer_ended(api: TestClient, catalogue: Catalogue) -> None:
    run_id = ran(catalogue, created(api), due_at=NOON)
    url = f"/runs/{run_id}/logs"
    printed(catalogue, run_id, "one", "<b>two</b>", "three")
    first = api.get(url, params={"limit": 2}).json()
    assert [line["message"] for line in first["items"]] == ["one", "<b>two</b>"]
    second = api.get(url, params={"after": first["next"]}).json()
    assert [line["message"] for line in second["items"]] == ["three"]
    nothing_new = api.get(url, params={"after": second["next"]}).json()
    assert nothing_new == {"items": [], "next": second["next"]}
    printed(catalogue, run_id, "four")
    assert [line["message"] for line in api.get(url, params={"after": second["next"]}).json()["items"]] == ["four"]


def test_a_run_is_asked_to_end_and_what_is_over_is_not(api: TestClient, catalogue: Catalogue) -> None:
    run_id = ran(catalogue, created(api), due_at=NOON)
    url = f"/runs/{run_id}"
    asked = [api.post(f"{url}/cancel"), api.post(f"{url}/cancel", json={})]
    assert [answer.status_code for answer in asked] == [200, 200]
    assert asked[0].json()["cancel_requested_at"] == asked[1].json()["cancel_requested_at"]
    with catalogue.transaction() as session:
        worker = runs.get_run(session, run_id).worker_id
        assert worker is not None
        runs.finish(session, RunKey(run_id, NOON), Ending(RunState.CANCELLED, datetime.now(UTC)), worker_id=worker)
    assert api.post(f"{url}/cancel").status_code == 409


def test_a_run_asked_for_is_answered_with_the_run_that_was_made(
    api: TestClient, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requested, "PATIENCE_SECONDS", 30)
    task = created(api)
    with reconciling(catalogue):
        answer = api.post(f"/tasks/{task['id']}/run", json={})
    run = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/runs/{run['id']}"
    assert (run["task_id"], run["trigger"], run["state"]) == (task["id"], "manual", "scheduled")
    assert [one["id"] for one in api.get("/runs", params={"task_id": task["id"]}).json()["items"]] == [run["id"]]
    with catalogue.transaction() as session:
        assert runs.get_run(session, UUID(run["id"])).id == UUID(run["id"])


def test_a_repeat_of_run_now_makes_no_second_run_and_gets_the_first_answer(
    api: TestClient, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requested, "PATIENCE_SECONDS", 30)
    task, other = created(api), created(api)
    headers = {"Idempotency-Key": "once"}
    with reconciling(catalogue):
        first = api.post(f"/tasks/{task['id']}/run", json={}, headers=headers)
        elsewhere = api.post(f"/tasks/{other['id']}/run", headers=headers)
    repeat = api.post(f"/tasks/{task['id']}/run", headers=headers)
    assert (repeat.status_code, repeat.json()) == (202, first.json())
    assert elsewhere.json()["id"] != first.json()["id"]
    assert len(api.get("/runs", params={"task_id": task["id"]}).json()["items"]) == 1


def test_while_nobody_makes_the_run_the_request_stands_for_it_and_can_be_cancelled(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requested, "PATIENCE_SECONDS", 0.1)
    run = api.post(f"/tasks/{created(api)['id']}/run", json={}).json()
    url = f"/runs/{run['id']}"
    assert api.get(url).json() == run
    assert api.get(f"{url}/logs").json() == {"items": [], "next": "0"}
    assert api.post(f"{url}/cancel").json()["state"] == "cancelled"
    assert api.post(f"{url}/cancel").status_code == 409


def test_the_request_is_good_for_the_run_also_once_it_is_made(
    api: TestClient, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requested, "PATIENCE_SECONDS", 0)
    asked = api.post(f"/tasks/{created(api)['id']}/run").json()["id"]
    made = uuid4()
    with catalogue.transaction() as session:
        for request in run_requests.open_requests(session, now=datetime.now(UTC)):
            run_requests.fulfil(session, request, made)
    printed(catalogue, made, "hello")
    assert api.get(f"/runs/{asked}").json()["id"] == str(made)
    assert [line["message"] for line in api.get(f"/runs/{asked}/logs").json()["items"]] == ["hello"]
    assert api.post(f"/runs/{asked}/cancel").json()["cancel_requested_at"] is not None


def test_when_many_wait_the_others_are_answered_at_once(
    catalogue: Catalogue, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = UUID(_requested(catalogue, created(api)))
    monkeypatch.setattr(requested, "PATIENCE_SECONDS", 30)
    waiting = requested.RequestedRuns(catalogue)
    for _ in range(requested.WAITING_AT_MOST):
        assert waiting._seats.acquire(blocking=False)
    started = datetime.now(UTC)
    assert waiting.wait_for(request_id).id == request_id
    assert datetime.now(UTC) - started < timedelta(seconds=requested.PATIENCE_SECONDS / 2)


def test_a_request_that_was_taken_is_answered_although_postgresql_goes_away_then(
    api: TestClient, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = UUID(_requested(catalogue, created(api)))
    waiting = requested.RequestedRuns(catalogue)
    look, looks = waiting._look, []

    def look_once(wanted: UUID) -> Any:
        looks.append(wanted)
        if len(looks) > 1:
            raise CatalogueUnavailable
        return look(wanted)

    monkeypatch.setattr(waiting, "_look", look_once)
    assert waiting.wait_for(request_id).id == request_id
    assert len(looks) == 2


def test_a_run_with_members_of_an_action_is_a_test(api: TestClient, catalogue: Catalogue) -> None:
    task = created(api, action={"command": "true", "env": {"KEPT": "1"}})
    with reconciling(catalogue):
        answer = api.post(f"/tasks/{task['id']}/run", json={"action": {"command": "date"}})
    assert (answer.status_code, answer.json()["trigger"]) == (202, "test")
    with catalogue.transaction() as session:
        kept = session.scalars(select(RunRequest.action)).one()
    assert (kept["command"], kept["env"]) == ("date", {"KEPT": "1"})
    assert api.get(f"/tasks/{task['id']}").json()["last_run"] is None


@pytest.mark.parametrize("action", [{"command": ""}, {"url": "https://example.org"}, {"env": 7}])
def test_a_test_of_what_the_task_cannot_do_is_refused(api: TestClient, action: dict[str, Any]) -> None:
    task = created(api)
    answer = api.post(f"/tasks/{task['id']}/run", json={"action": action})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("action")


def _requested(catalogue: Catalogue, task: dict[str, Any]) -> str:
    with catalogue.transaction() as session:
        return str(run_requests.request_run(session, UUID(task["id"]), actor="test", now=datetime.now(UTC)))

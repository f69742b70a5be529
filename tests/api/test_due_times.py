"""The ledger over REST: beside what the contract promises, why each due time went as it did."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from starlette.testclient import TestClient

from db import tasks
from db.engine import Catalogue
from db.states import Outcome, Reason
from db.tables import DueTime
from tests.api.conftest import created

CONTRACT = {"due_at", "outcome", "reason", "run_id", "lateness_seconds", "task_version"}
EVERY_MINUTE = {"kind": "cron", "cron": "* * * * *"}


def ledger(api: TestClient, task: dict[str, Any], **narrowed: Any) -> list[dict[str, Any]]:
    answer = api.get(f"/tasks/{task['id']}/due-times", params=narrowed)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


def was_due(catalogue: Catalogue, task: dict[str, Any], due_at: datetime, **values: Any) -> None:
    row = {"task_id": UUID(task["id"]), "due_at": due_at, "task_version": 1, "outcome": Outcome.PENDING}
    with catalogue.transaction() as session:
        session.execute(insert(DueTime).values(row | values))


def test_what_is_to_come_has_nothing_to_explain(api: TestClient) -> None:
    rows = ledger(api, created(api, schedule=EVERY_MINUTE), to=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert len(rows) >= 9
    assert all(set(row) == CONTRACT | {"why"} for row in rows)
    assert {row["why"] for row in rows[1:]} == {None}


def test_a_due_time_in_a_pause_says_who_paused_it_and_what_for(api: TestClient, catalogue: Catalogue) -> None:
    task = created(api, schedule={"kind": "manual"})
    api.post(f"/tasks/{task['id']}/pause", json={"reason": "database move"})
    due_at = datetime.now(UTC)
    was_due(catalogue, task, due_at, outcome=Outcome.SKIPPED, reason=Reason.PAUSED, decided_at=due_at)
    [row] = ledger(api, task)
    assert (row["outcome"], row["reason"]) == ("skipped", "paused")
    assert row["why"].startswith("Skipped: paused over the API since ")
    assert row["why"].endswith(" UTC (“database move”).")


def test_a_run_that_began_late_says_so_and_one_that_began_on_time_does_not(
    api: TestClient, catalogue: Catalogue
) -> None:
    task, at = created(api, schedule={"kind": "manual"}), datetime.now(UTC) - timedelta(minutes=9)
    for minutes, late in ((0, 0.2), (1, 42.3)):
        due_at = at + timedelta(minutes=minutes)
        ran = {"outcome": Outcome.RAN, "run_id": UUID(int=minutes + 1), "decided_at": due_at + timedelta(seconds=50)}
        was_due(catalogue, task, due_at, started_at=due_at + timedelta(seconds=late), **ran)
    on_time, late_one = ledger(api, task)
    assert on_time["why"] is None
    assert late_one["lateness_seconds"] == 42.3
    assert late_one["why"] == "Late by 42.3 s. No worker was ever there."


def test_the_reasons_go_with_their_rows_whatever_page_they_are_on(api: TestClient, catalogue: Catalogue) -> None:
    task, at = created(api, schedule={"kind": "manual"}), datetime.now(UTC) - timedelta(minutes=30)
    for minutes in range(6):
        due_at, reason = at + timedelta(minutes=minutes), (Reason.DELETED, Reason.CANCELLED)[minutes % 2]
        was_due(catalogue, task, due_at, outcome=Outcome.CANCELLED, reason=reason, decided_at=due_at)
    with catalogue.transaction() as session:
        tasks.delete_task(session, UUID(task["id"]), actor="ben", now=datetime.now(UTC))
    words = {"deleted": "the task was deleted", "cancelled": "cancelled in Prefect"}
    assert len(ledger(api, task, limit=4)) == 4
    assert all(words[row["reason"]] in row["why"] for row in ledger(api, task))
    assert [row["reason"] for row in ledger(api, task, limit=2)] == ["deleted", "cancelled"]

"""Where the month's tables are not there, a write is asked for again, and nobody is told of an error of ours."""

from datetime import UTC, datetime

from sqlalchemy import text
from starlette.testclient import TestClient

from db import partitions
from db.engine import Catalogue
from tests.api.conftest import document


def test_a_task_is_made_as_soon_as_the_month_is_there_again(api: TestClient, catalogue: Catalogue) -> None:
    now = datetime.now(UTC)
    with catalogue.transaction() as session:
        for table in partitions.PARTITIONED:
            session.execute(text(f"DROP TABLE {table}_{now:%Y_%m}"))
    task = document(schedule={"kind": "cron", "cron": "* * * * *", "timezone": "UTC"})
    refused = api.post("/tasks", json=task)
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:duetime:problem:catalogue-unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    with catalogue.transaction() as session:
        partitions.ensure_partitions(session, now=now)
    assert api.post("/tasks", json=task).status_code == 201

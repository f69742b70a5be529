"""The witness is heard every minute; a watch outside hears of it only while all is well."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete

from db import heartbeats, tasks, workers
from db.engine import Catalogue
from db.errors import Unavailable
from db.specs import parse_task
from db.tables import DueTime, Task
from reconciler.auditing import DEAD_MAN_URL, Auditor, audit
from tests.reconciler.conftest import now

HOURLY = {"kind": "cron", "cron": "* * * * *", "timezone": "UTC"}
PAUSED = {"name": "quiet", "kind": "shell", "action": {"command": "true"}, "schedule": HOURLY, "paused": True}


@contextmanager
def watch() -> Iterator[tuple[str, list[str]]]:
    """A dead-man switch on this machine: its address, and the pings that it got."""
    pings: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pings.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ping", pings
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def well(catalogue: Catalogue) -> Catalogue:
    """Prefect was heard of, a worker is there, and there is a task that has not been due for a minute yet."""
    with catalogue.transaction() as session:
        heartbeats.beat(session, heartbeats.PREFECT, now=now())
        workers.register(session, worker_id=uuid4(), name="w", work_pool="default", host="here", pid=1, now=now())
        tasks.create_task(session, parse_task(PAUSED), actor="test", now=now() - timedelta(minutes=3))
    return catalogue


def noted(catalogue: Catalogue) -> Any:
    with catalogue.transaction() as session:
        last = heartbeats.last(session, heartbeats.AUDIT)
        return None if last is None else last.details


def told(catalogue: Catalogue) -> list[str]:
    """The pings of one audit."""
    with watch() as (url, pings):
        Auditor(catalogue, url).audit()
        return pings


def settle(catalogue: Catalogue) -> None:
    """The pause decides what has passed."""
    with catalogue.transaction() as session:
        [task] = session.query(Task).all()
        tasks.resume_task(session, task.id, actor="test", now=now())


def test_where_all_is_accounted_for_it_is_noted_and_the_watch_is_told(well: Catalogue) -> None:
    settle(well)
    assert told(well) == ["/ping"]
    found = noted(well)
    assert found["due_times"] >= 2
    assert (found["accounted"], found["discrepancy_count"]) == (found["due_times"], 0)


def test_what_is_not_accounted_for_is_noted_and_the_watch_hears_nothing(well: Catalogue) -> None:
    settle(well)
    with well.transaction() as session:
        session.execute(delete(DueTime).where(DueTime.due_at < now() - timedelta(seconds=90)))
    assert told(well) == []
    found = noted(well)
    assert found["discrepancy_count"] >= 1
    assert found["discrepancies"][0]["task_name"] == "quiet"


@pytest.mark.parametrize("missing", ["prefect", "worker"])
def test_without_prefect_or_a_worker_all_is_not_well(well: Catalogue, missing: str) -> None:
    settle(well)
    later = now() + timedelta(seconds=61)
    with well.transaction() as session:
        if missing == "prefect":
            heartbeats.beat(session, heartbeats.PREFECT, now=now() - timedelta(minutes=2))
        else:
            [worker] = workers.present(session, now=now())
            workers.stop(session, worker.id, now=later)
    assert not audit(well, now=now())
    assert noted(well)["discrepancy_count"] == 0


def test_a_watch_that_does_not_answer_is_told_as_what_it_is(well: Catalogue) -> None:
    settle(well)
    with pytest.raises(Unavailable, match=DEAD_MAN_URL):
        Auditor(well, "http://127.0.0.1:9/ping").audit()
    assert noted(well) is not None

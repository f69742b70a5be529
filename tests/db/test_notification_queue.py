"""A listener that does not read fills PostgreSQL's queue for everybody: that is measured, and it is ended."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import text

from db import notification_queue
from db.engine import Catalogue
from db.notifications import APPLICATION, CHANNEL
from tests.waiting import wait_until

LARGE = "x" * 7900
UNREAD = 2000
"""More than the buffers of a connection hold."""


@contextmanager
def listening(catalogue: Catalogue, *, application: str = APPLICATION) -> Iterator["psycopg.Connection[object]"]:
    connection: psycopg.Connection[object] = psycopg.connect(
        catalogue.url, autocommit=True, application_name=application
    )
    connection.execute(f"LISTEN {CHANNEL}")
    try:
        yield connection
    finally:
        connection.close()


def share(catalogue: Catalogue) -> float:
    with catalogue.transaction() as session:
        return notification_queue.usage(session)


def fill(catalogue: Catalogue, count: int = UNREAD) -> None:
    notify = text("SELECT count(pg_notify(:channel, :payload || number)) FROM generate_series(1, :count) number")
    with catalogue.transaction() as session:
        session.execute(notify, {"channel": CHANNEL, "payload": LARGE, "count": count})


def backends(catalogue: Catalogue, wait_event: str) -> int:
    found = text(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = :application AND wait_event = :event"
        " AND datname = current_database()"
    )
    with catalogue.transaction() as session:
        return int(session.scalar(found, {"application": APPLICATION, "event": wait_event}) or 0)


def end_those_behind(catalogue: Catalogue) -> int:
    with catalogue.transaction() as session:
        return notification_queue.end_those_behind(session)


def test_a_listener_that_does_not_read_is_ended_and_the_others_are_not(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(catalogue), listening(catalogue, application="another") as another:
        fill(catalogue)
        for _ in another.notifies(timeout=60, stop_after=UNREAD):
            pass  # one that reads
        wait_until(lambda: backends(catalogue, "ClientWrite") == 1, "a backend that cannot write")
        taken = share(catalogue)
        assert taken > 0.0005
        assert end_those_behind(catalogue) == 0  # there is room enough yet
        monkeypatch.setattr(notification_queue, "END_SHARE", taken / 2)
        assert end_those_behind(catalogue) == 1
        another.execute("SELECT 1")

        def is_emptied() -> bool:
            fill(catalogue, 1)
            return share(catalogue) < taken / 2

        wait_until(is_emptied, "the queue to be emptied")


def test_where_nobody_is_seen_to_be_stuck_all_of_ours_connect_again(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_queue, "END_SHARE", 0.0)
    with listening(catalogue) as one, listening(catalogue) as two, listening(catalogue, application="another") as three:
        wait_until(lambda: backends(catalogue, "ClientRead") == 2, "both to listen")
        assert end_those_behind(catalogue) == 2
        for ended in (one, two):
            with pytest.raises(psycopg.OperationalError):
                ended.execute("SELECT 1")
        three.execute("SELECT 1")

"""Hints that something changed. A hint may be lost: whoever waits for one also looks by itself from time to time."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from time import monotonic
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import loops, sqlstates
from db.connections import BoundedConnection, Limits, connect

CHANNEL = "duetime"
APPLICATION = "duetime-listener"
ROUND_SECONDS = 1.0
ALIVE_SECONDS = 5.0
"""After so long without a word PostgreSQL is asked whether it is there,"""
ANSWER_SECONDS = 5.0
"""and has so long to answer."""
TOPICS_AT_ONCE = 100
"""PostgreSQL refuses a notification of 8,000 bytes or more; a topic has at most 50."""


class Topic(StrEnum):
    """What may change. A hint about one thing is `topic:id`, and always comes with the hint about its kind."""

    TASKS = "tasks"
    RUNS = "runs"
    LOGS = "logs"
    WORKERS = "workers"
    SYNC = "sync"
    """The reconciler has something to do."""
    READY = "ready"
    """Prefect has a run that is due soon."""
    CANCEL = "cancel"
    MESSAGES = "messages"
    """A message is to go out."""
    ACCESS = "access"
    """Somebody may do something else than before, or may not come in any more."""
    EVERYTHING = "*"
    """The connection was lost: anything may have changed."""


def of(topic: Topic, key: UUID | str) -> str:
    """The hint about one thing."""
    return f"{topic}:{key}"


_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


def notify(session: Session, topics: Iterable[str]) -> None:
    """Sends the hints when the transaction commits."""
    rest = list(topics)
    for start in range(0, len(rest), TOPICS_AT_ONCE):
        payload = " ".join(rest[start : start + TOPICS_AT_ONCE])
        session.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


class Listener:
    """A thread that listens and calls back with a set of topics; it reconnects by itself.

    The callback runs in the listener's thread and must return at once. A connection on which nobody answers any more is
    given up within ALIVE_SECONDS and ANSWER_SECONDS: after a failover TCP would keep it for hours.
    """

    def __init__(self, url: str, callback: Callable[[frozenset[str]], None]) -> None:
        self._url, self._callback = url, callback
        self._connection: BoundedConnection | None = None
        self._heard_at = 0.0
        self._loop = loops.ThreadLoop("listener", self._one_round)

    @property
    def connected(self) -> bool:
        """Whether hints arrive."""
        return self._connection is not None

    def start(self) -> "Listener":
        self._loop.start()
        return self

    def stop(self) -> None:
        self._loop.stop(2)
        self._hang_up()

    def _one_round(self) -> None:
        try:
            connection = self._connection or self._connected()
            for notification in connection.notifies(timeout=ROUND_SECONDS):
                self._heard_at = monotonic()
                self._callback(frozenset(notification.payload.split(" ")))
                if self._loop.stopped.is_set():
                    return
            if monotonic() - self._heard_at > ALIVE_SECONDS:
                connection.execute("SELECT 1")
                self._heard_at = monotonic()
        except psycopg.Error as error:
            self._hang_up()
            raise sqlstates.unavailable(error) from error

    def _connected(self) -> BoundedConnection:
        limits = Limits(call_seconds=ANSWER_SECONDS)
        connection = connect(self._url, application_name=APPLICATION, limits=limits, autocommit=True)
        connection.execute(f"LISTEN {CHANNEL}")
        self._connection, self._heard_at = connection, monotonic()
        loops.record_of(self._loop.name).went_well()
        self._callback(frozenset({Topic.EVERYTHING}))
        return connection

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

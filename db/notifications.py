"""Hints that something changed. A hint may be lost: whoever waits for one also looks by itself from time to time."""

import logging
import threading
from collections.abc import Callable, Iterable
from enum import StrEnum
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

CHANNEL = "duetime"
LONGEST_PAUSE_SECONDS = 5.0
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

    The callback runs in the listener's thread and must return at once.
    """

    def __init__(self, url: str, callback: Callable[[frozenset[str]], None]) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://")
        self._callback = callback
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catalogue-listener", daemon=True)
        self.connected = False

    def start(self) -> "Listener":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        pause = 0.2
        while not self._stopped.is_set():
            try:
                self._listen()
                pause = 0.2
            except (psycopg.Error, OSError) as error:
                log.debug("Listening was interrupted: %s", error)
            if self.connected:
                pause = 0.2
            self.connected = False
            self._stopped.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _listen(self) -> None:
        with psycopg.connect(
            self._url, autocommit=True, connect_timeout=3, application_name="duetime-listener"
        ) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self.connected = True
            self._callback(frozenset({Topic.EVERYTHING}))
            while not self._stopped.is_set():
                for notification in connection.notifies(timeout=1.0):
                    self._callback(frozenset(notification.payload.split(" ")))
                    if self._stopped.is_set():
                        return

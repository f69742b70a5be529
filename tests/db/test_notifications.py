"""Hints: sent when a transaction commits, heard by whoever listens, also after the connection was lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from db import claims, logs, run_requests, runs, tasks
from db.claims import Claimant
from db.engine import Catalogue
from db.logs import Line
from db.notifications import Listener, Topic, notify, of
from db.runs import Ending, RunKey
from db.states import Level, RunState, Stream
from tests.db.conftest import NOW, an_offer, create, deployed, edit, minutes, once
from tests.waiting import wait_until

LISTENERS = "FROM pg_stat_activity WHERE application_name = 'duetime-listener' AND datname = current_database()"


class Ears:
    """What was heard, and a way to wait for it."""

    def __init__(self) -> None:
        self.heard: list[frozenset[str]] = []
        self._lock = threading.Lock()

    def __call__(self, topics: frozenset[str]) -> None:
        with self._lock:
            self.heard.append(topics)

    def everything(self) -> frozenset[str]:
        with self._lock:
            return frozenset().union(*self.heard)

    def forget(self) -> None:
        with self._lock:
            self.heard.clear()

    def wait_for(self, *topics: str) -> None:
        wait_until(lambda: self.everything() >= set(topics), f"hints {topics}", seconds=10, every=0.02)


@contextmanager
def listening(catalogue: Catalogue) -> Iterator[Ears]:
    ears = Ears()
    listener = Listener(catalogue.url, ears).start()
    try:
        ears.wait_for(Topic.EVERYTHING)
        ears.forget()
        yield ears
    finally:
        listener.stop()


def do(catalogue: Catalogue, work: Callable[[Session], object]) -> None:
    with catalogue.transaction() as session:
        work(session)


def listeners(session: Session) -> int:
    return int(session.scalar(text(f"SELECT count(*) {LISTENERS}")) or 0)


def test_every_change_of_a_task_is_heard_when_it_is_committed(catalogue: Catalogue) -> None:
    with listening(catalogue) as ears:
        with catalogue.transaction() as session:
            task_id = create(session)
            session.flush()
            assert ears.everything() == frozenset()
        ears.wait_for(Topic.SYNC, Topic.TASKS, of(Topic.TASKS, task_id))
        for change in (
            lambda session: edit(session, task_id, description="new"),
            lambda session: tasks.pause_task(session, task_id, actor="anna", now=NOW),
            lambda session: tasks.resume_task(session, task_id, actor="anna", now=NOW),
            lambda session: tasks.delete_task(session, task_id, actor="anna", now=NOW),
            lambda session: tasks.restore_task(session, task_id, actor="anna", now=NOW),
        ):
            ears.forget()
            do(catalogue, change)
            ears.wait_for(Topic.SYNC, Topic.TASKS, of(Topic.TASKS, task_id))


def test_the_life_of_a_run_is_heard(catalogue: Catalogue) -> None:
    worker = Claimant(uuid4(), "w1")
    with catalogue.transaction() as session:
        task_id = deployed(session, schedule=once(NOW + minutes(1)))
        offer = an_offer(session, task_id, NOW + minutes(1))
    key = RunKey(offer.run_id, offer.due_at)
    line = Line(key.id, NOW, Level.INFO, Stream.STDOUT, "hello")
    ending = Ending(RunState.CANCELLED, NOW + minutes(2))
    about_the_run = (Topic.RUNS, of(Topic.RUNS, key.id), of(Topic.TASKS, task_id))
    steps: list[tuple[Callable[[Session], object], tuple[str, ...]]] = [
        (lambda session: claims.claim(session, offer, worker, now=offer.due_at), about_the_run),
        (lambda session: logs.append(session, [line]), (Topic.LOGS, of(Topic.LOGS, key.id))),
        (lambda session: runs.request_cancel(session, key.id, now=NOW), (Topic.CANCEL, of(Topic.CANCEL, key.id))),
        (lambda session: runs.finish(session, key, ending, worker_id=worker.id), about_the_run),
        (lambda session: run_requests.request_run(session, task_id, actor="anna", now=NOW), (Topic.SYNC,)),
    ]
    with listening(catalogue) as ears:
        for step, expected in steps:
            ears.forget()
            do(catalogue, step)
            ears.wait_for(*expected)


def test_what_was_rolled_back_is_not_heard(catalogue: Catalogue) -> None:
    with listening(catalogue) as ears:
        with catalogue.transaction() as session:
            notify(session, [Topic.RUNS])
            session.rollback()
        do(catalogue, lambda session: notify(session, [Topic.WORKERS]))
        ears.wait_for(Topic.WORKERS)
        assert ears.everything() == {Topic.WORKERS}


def test_a_thousand_hints_at_once_are_all_heard(catalogue: Catalogue) -> None:
    topics = [of(Topic.LOGS, uuid4()) for _ in range(1000)]
    with listening(catalogue) as ears:
        do(catalogue, lambda session: notify(session, [Topic.LOGS, *topics]))
        ears.wait_for(Topic.LOGS, *topics)


def test_a_listener_that_lost_its_connection_listens_again_and_says_that_it_may_have_missed_something(
    catalogue: Catalogue,
) -> None:
    kill = f"SELECT pg_terminate_backend(pid) {LISTENERS}"
    with listening(catalogue) as ears:
        for _ in range(2):
            do(catalogue, lambda session: session.execute(text(kill)))
            ears.wait_for(Topic.EVERYTHING)
            ears.forget()
            do(catalogue, lambda session: notify(session, [Topic.TASKS]))
            ears.wait_for(Topic.TASKS)
            ears.forget()


def test_a_listener_that_was_stopped_is_gone(catalogue: Catalogue) -> None:
    with listening(catalogue):
        do(catalogue, lambda session: wait_until(lambda: listeners(session) == 1, "one listener", seconds=5))

    def gone() -> bool:
        with catalogue.transaction() as session:
            return listeners(session) == 0

    wait_until(gone, "no listener", seconds=5)

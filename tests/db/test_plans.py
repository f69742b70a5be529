"""The questions that are asked every second are answered from an index, in a catalogue of some thousands."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from db import claims, due_times, logs, run_requests, runs, sync, task_views, tasks
from db.claims import Claimant, Offer
from db.engine import Catalogue
from db.runs import Ending, RunKey
from db.states import RunState, Trigger
from tests.conftest import FreshDatabase
from tests.db.conftest import NOW, minutes, seconds

pytestmark = pytest.mark.xdist_group("plans")

TASKS = 8000
FILL = f"""
    INSERT INTO tasks (id, spec, version, created_at, updated_at)
    SELECT md5('t' || i)::uuid, jsonb_build_object(
             'name', 'task ' || md5(i::text), 'kind', 'shell', 'paused', false, 'tags', '[]'::jsonb,
             'action', jsonb_build_object('command', 'true'), 'schedule', jsonb_build_object('kind', 'manual')),
           1, '{NOW}', '{NOW}' FROM generate_series(1, {TASKS}) i;
    INSERT INTO task_status (task_id, wanted_version, synced_version, deployment_id, planned_until)
    SELECT md5('t' || i)::uuid, 1, CASE WHEN i > 3 THEN 1 END, md5('d' || i)::uuid,
           TIMESTAMPTZ '{NOW}' + i * interval '1 minute' FROM generate_series(1, {TASKS}) i;
    INSERT INTO due_times (task_id, due_at, task_version, outcome, decided_at, run_id, started_at)
    SELECT md5('t' || (i % {TASKS} + 1))::uuid, TIMESTAMPTZ '{NOW}' - i * interval '1 second', 1, 'ran', '{NOW}',
           md5('r' || i)::uuid, '{NOW}' FROM generate_series(1, 40000) i;
    INSERT INTO due_times (task_id, due_at, task_version, outcome)
    SELECT md5('t' || i)::uuid, TIMESTAMPTZ '{NOW}' + i * interval '1 second', 1, 'pending'
    FROM generate_series(1, {TASKS}) i;
    INSERT INTO runs (id, due_at, task_id, task_name, task_version, trigger, state, ended_at, worker_id, worker)
    SELECT md5('r' || i)::uuid, TIMESTAMPTZ '{NOW}' - i * interval '1 second', md5('t' || (i % {TASKS} + 1))::uuid, 't',
           1, 'schedule', CASE WHEN i < 5 THEN 'running' ELSE 'completed' END,
           CASE WHEN i >= 5 THEN TIMESTAMPTZ '{NOW}' END,
           md5('w')::uuid, 'w' FROM generate_series(1, 40000) i;
    INSERT INTO run_requests (id, task_id, requested_at, actor, trigger, due_at, not_before, attempt, run_id)
    SELECT gen_random_uuid(), md5('t' || i)::uuid, '{NOW}', 'x', 'manual', '{NOW}', '{NOW}', 1,
           CASE WHEN i > 3 THEN gen_random_uuid() END
    FROM generate_series(1, {TASKS}) i;
    INSERT INTO run_logs (at, run_id, level, stream, message)
    SELECT '{NOW}', md5('r' || (i / 20))::uuid, 'info', 'stdout', 'x' FROM generate_series(1, 40000) i;
    SELECT gin_clean_pending_list('tasks_search');
    ANALYZE;
"""  # noqa: S608 - constants


def uuid_of(word: str) -> UUID:
    """As md5(word)::uuid in SQL."""
    return UUID(bytes=hashlib.md5(word.encode(), usedforsecurity=False).digest())


@pytest.fixture(scope="module")
def filled(fresh_database: FreshDatabase, migrated: str) -> Iterator[Catalogue]:
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        with catalogue.transaction() as session:
            session.connection().connection.driver_connection.execute(FILL)  # type: ignore[union-attr]
        yield catalogue
        catalogue.close()


def scanned(catalogue: Catalogue, work: Callable[[Session], object]) -> set[str]:
    """The big tables that the statements of this work read from end to end."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(catalogue.engine, "before_cursor_execute", note)
    with catalogue.transaction() as session:
        work(session)
        session.flush()
        session.rollback()
    event.remove(catalogue.engine, "before_cursor_execute", note)
    plans = [_plan(catalogue, *each) for each in asked if each[0].startswith(("SELECT", "UPDATE", "DELETE"))]
    assert plans
    return {table for plan in plans for table in _sequentially_scanned(plan)}


def _plan(catalogue: Catalogue, statement: str, parameters: Any) -> dict[str, Any]:
    with catalogue.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar()
        connection.rollback()
    return plan[0]["Plan"]  # type: ignore[no-any-return,index]


def _sequentially_scanned(plan: dict[str, Any]) -> Iterator[str]:
    month_of_many_rows = plan.get("Plan Rows", 0) > 1 or plan.get("Total Cost", 0) > 50
    if plan["Node Type"] == "Seq Scan" and month_of_many_rows:
        yield plan["Relation Name"].rstrip("0123456789_")
    for child in plan.get("Plans", []):
        yield from _sequentially_scanned(child)


OFFER = Offer(uuid4(), uuid_of("d77"), NOW + seconds(77), Trigger.SCHEDULE)
TASK, RUN = uuid_of("t77"), uuid_of("r77")
QUESTIONS: dict[str, Callable[[Session], object]] = {
    "what Prefect has not seen": lambda session: sync.unsynced(session),
    "whose pause is over": lambda session: tasks.due_to_resume(session, now=NOW),
    "whose ledger ends soon": lambda session: due_times.extend(session, now=NOW),
    "what is due soon": lambda session: due_times.pending_until(session, until=NOW + seconds(70), now=NOW),
    "what was asked for": lambda session: run_requests.open_requests(session, now=NOW + minutes(1)),
    "what goes on": lambda session: runs.open_runs(session),
    "what a lost worker ran": lambda session: runs.lost_runs(session),
    "what is to be cancelled": lambda session: runs.cancel_requested_of(session, uuid_of("w")),
    "what Prefect was not told": lambda session: runs.unreported(session),
    "a claim": lambda session: claims.claim(session, OFFER, Claimant(uuid4(), "w"), now=OFFER.due_at),
    "the end of a run": lambda session: runs.finish(
        session, RunKey(uuid_of("r1"), NOW - seconds(1)), Ending(RunState.FAILED, NOW), worker_id=uuid_of("w")
    ),
    "a run by its id": lambda session: runs.get_run(session, RUN),
    "a page of runs": lambda session: runs.list_runs(session),
    "a page of a task's runs": lambda session: runs.list_runs(session, task_id=TASK),
    "a page of runs in a state": lambda session: runs.list_runs(session, state=RunState.FAILED),
    "a page of a day's runs": lambda session: runs.list_runs(session, from_at=NOW - minutes(9), to_at=NOW),
    "a page of tasks": lambda session: task_views.list_tasks(session, now=NOW),
    "a task by its name": lambda session: tasks.task_by_name(session, "task 000077"),
    "tasks by a part of their name": lambda session: task_views.list_tasks(session, search="b1946ac9", now=NOW),
    "a page of the ledger": lambda session: due_times.list_due_times(session, TASK),
    "lines of a log": lambda session: logs.list_lines(session, RUN, after=5),
    "the end of a log": lambda session: logs.last_lines(session, RUN),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_big_table_is_read_from_end_to_end_for(filled: Catalogue, question: str) -> None:
    assert scanned(filled, QUESTIONS[question]) == set()


def test_a_scan_would_be_noticed(filled: Catalogue) -> None:
    count = text("SELECT count(*) FROM runs JOIN task_status USING (task_id) WHERE last_state IS NULL")
    assert scanned(filled, lambda session: session.execute(count)) == {"runs", "task_status"}

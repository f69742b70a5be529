"""The questions that are asked every second are answered from an index, in a catalogue of some thousands."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from db import claims, due_times, evidence, ledger, logs, run_requests, runs, sync, task_views, tasks, workers
from db.claims import Claimant, Offer
from db.connections import PATIENT
from db.engine import Catalogue
from db.runs import Ending, RunKey
from db.states import Kind, Outcome, RunState, Trigger
from db.task_views import TaskFilter, TaskOrder
from tests.conftest import FreshDatabase
from tests.db.conftest import NOW, minutes, seconds
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("plans")

TASKS = 8000
FILL = f"""
    SET LOCAL synchronous_commit = on; -- or VACUUM may not know yet that all of it is visible
    INSERT INTO tasks (id, spec, version, created_at, updated_at)
    SELECT md5('t' || i)::uuid, jsonb_build_object(
             'name', 'task ' || md5(i::text), 'description', repeat('x ', 300), 'kind', 'shell', 'paused', i % 500 = 3,
             'tags', CASE WHEN i % 400 = 5 THEN '["rare"]' ELSE '["common"]' END::jsonb,
             'action', jsonb_build_object('command', 'true'), 'schedule', jsonb_build_object('kind', 'manual')),
           1, '{NOW}', '{NOW}' FROM generate_series(1, {TASKS}) i;
    INSERT INTO task_status (task_id, wanted_version, synced_version, deployment_id, planned_until, last_run_id,
                             last_due_at, applied, last_state)
    SELECT md5('t' || i)::uuid, 1, CASE WHEN i > 3 THEN 1 END, md5('d' || i)::uuid,
           TIMESTAMPTZ '{NOW}' + i * interval '1 minute', md5('r' || i)::uuid, '{NOW}',
           jsonb_build_object('parameters', repeat('x ', 150)),
           CASE WHEN i < 5 THEN 'running' WHEN i < 9 THEN 'failed' ELSE 'completed' END
    FROM generate_series(1, {TASKS}) i;
    INSERT INTO revisions (task_id, version, at, actor, change, spec)
    SELECT id, 1, created_at, 'x', 'created',
           spec || '{{"overlap": "skip", "misfire": "latest", "work_pool": "default"}}' FROM tasks;
    INSERT INTO due_times (task_id, due_at, task_version, outcome, decided_at, run_id, started_at)
    SELECT md5('t' || (i % {TASKS} + 1))::uuid, TIMESTAMPTZ '{NOW}' - i * interval '1 second', 1, 'ran', '{NOW}',
           md5('r' || i)::uuid, '{NOW}' FROM generate_series(1, 40000) i;
    INSERT INTO due_times (task_id, due_at, task_version, outcome, reason, decided_at)
    SELECT md5('t1')::uuid, TIMESTAMPTZ '{NOW}' - i * interval '61 seconds', 1,
           CASE WHEN i % 1000 = 0 THEN 'missed' ELSE 'skipped' END, 'late', '{NOW}'
    FROM generate_series(1, 8000) i ON CONFLICT DO NOTHING;
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
"""  # noqa: S608 - constants


def uuid_of(word: str) -> UUID:
    """As md5(word)::uuid in SQL."""
    return UUID(bytes=hashlib.md5(word.encode(), usedforsecurity=False).digest())


@pytest.fixture(scope="module")
def filled(fresh_database: FreshDatabase, migrated: str) -> Iterator[Catalogue]:
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test", limits=PATIENT)
        with catalogue.transaction() as session:
            session.connection().connection.driver_connection.execute(FILL)  # type: ignore[union-attr]
        with psycopg.connect(url, autocommit=True) as connection:
            # One after the other: together they leave it unknown which pages are visible to all. So does PostgreSQL's
            # own ANALYZE, if it is at work in this moment.
            wait_until(lambda: _is_vacuumed(connection), "all pages to be known as visible", seconds=60)
            connection.execute("ANALYZE")
        yield catalogue
        catalogue.close()


def _is_vacuumed(connection: "psycopg.Connection[Any]") -> bool:
    connection.execute("VACUUM")
    unknown = "SELECT count(*) FROM pg_class WHERE relname IN ('tasks', 'task_status') AND relallvisible < relpages"
    return connection.execute(unknown).fetchall() == [(0,)]


def scanned(catalogue: Catalogue, work: Callable[[Session], object]) -> set[str]:
    """The big tables that the statements of this work read from end to end."""
    return {table for plan in plans_of(catalogue, work) for table in _sequentially_scanned(plan)}


def months_read(catalogue: Catalogue, work: Callable[[Session], object]) -> set[str]:
    """The partitions in which the statements of this work really look."""
    plans = plans_of(catalogue, work, options="FORMAT JSON, ANALYZE, TIMING OFF")
    return {name for plan in plans for name in _executed(plan) if name[-1].isdigit()}


def _executed(plan: dict[str, Any]) -> Iterator[str]:
    if plan["Actual Loops"] > 0 and "Relation Name" in plan and plan["Node Type"] != "ModifyTable":
        yield plan["Relation Name"]
    for child in plan.get("Plans", []):
        yield from _executed(child)


def plans_of(
    catalogue: Catalogue, work: Callable[[Session], object], *, options: str = "FORMAT JSON"
) -> list[dict[str, Any]]:
    """How the statements of this work are answered."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(catalogue.engine, "before_cursor_execute", note)
    with catalogue.transaction() as session:
        work(session)
        session.flush()
        session.rollback()
    event.remove(catalogue.engine, "before_cursor_execute", note)
    plans = [
        _plan(catalogue, *each, options) for each in asked if each[0].startswith(("SELECT", "UPDATE", "DELETE", "WITH"))
    ]
    assert plans
    return plans


def _plan(catalogue: Catalogue, statement: str, parameters: Any, options: str) -> dict[str, Any]:
    with catalogue.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN ({options}) {statement}", parameters).scalar()
        connection.rollback()
    return plan[0]["Plan"]  # type: ignore[no-any-return,index]


def _sequentially_scanned(plan: dict[str, Any]) -> Iterator[str]:
    month_of_many_rows = plan.get("Plan Rows", 0) > 1 or plan.get("Total Cost", 0) > 50
    if plan["Node Type"] == "Seq Scan" and month_of_many_rows:
        yield plan["Relation Name"].rstrip("0123456789_")
    for child in plan.get("Plans", []):
        yield from _sequentially_scanned(child)


OFFER = Offer(uuid4(), uuid_of("d77"), NOW + seconds(77), Trigger.SCHEDULE)
TASK, RUN, BUSY = uuid_of("t77"), uuid_of("r77"), uuid_of("t1")
SOME_TASKS = [uuid_of(f"t{i}") for i in range(50)]
QUESTIONS: dict[str, Callable[[Session], object]] = {
    "what Prefect has not seen": lambda session: sync.unsynced(session),
    "whose pause is over": lambda session: tasks.due_to_resume(session, now=NOW),
    "whose ledger ends soon": lambda session: due_times.extend(session, now=NOW),
    "what is due soon": lambda session: due_times.pending_until(session, until=NOW + seconds(70), now=NOW),
    "what was asked for": lambda session: run_requests.open_requests(session, now=NOW + minutes(1)),
    "what nobody holds and is to be cancelled": lambda session: runs.to_cancel(session),
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
    **{f"tasks by {order}": partial(task_views.list_tasks, order=order, now=NOW) for order in TaskOrder},
    "the tags": lambda session: task_views.list_tags(session),
    "a task by its name": lambda session: tasks.task_by_name(session, "task 000077"),
    "tasks by a part of their name": lambda session: task_views.list_tasks(session, search="b1946ac9", now=NOW),
    "a page of the ledger": lambda session: due_times.list_due_times(session, TASK),
    "a page of missed due times": lambda session: due_times.list_due_times(session, BUSY, outcome=Outcome.MISSED),
    "the newest due times": lambda session: ledger.newest(session, BUSY, now=NOW),
    "why they went so": lambda session: evidence.explain(
        session, BUSY, ledger.newest(session, BUSY, now=NOW).items, now=NOW
    ),
    "what comes": lambda session: ledger.upcoming(session, TASK, after=NOW),
    "what a pause skipped": lambda session: due_times.count_skipped(session, TASK, paused_at=NOW),
    "what became of an hour": lambda session: ledger.count_all_outcomes(session, since=NOW - minutes(9), until=NOW),
    "the last runs of a page of tasks": lambda session: runs.recent_runs(session, SOME_TASKS, count=16),
    "runs by their keys": lambda session: runs.get_many(session, [(RUN, NOW - seconds(77))] * 50),
    "which runs are ours": lambda session: runs.held_by_workers(session, [uuid_of(f"r{i}") for i in range(100)]),
    "who is there": lambda session: workers.present(session, now=NOW),
    **{f"how many tasks are {state}": partial(task_views.count_tasks, state=state) for state in TaskFilter},
    **{f"a page of {state} tasks": partial(task_views.list_tasks, state=state, now=NOW) for state in TaskFilter},
    "how many tasks there are": lambda session: task_views.count_tasks(session),
    "how many tasks of a kind": lambda session: task_views.count_tasks(session, kind=Kind.FLOW),
    "how many tasks have a letter": lambda session: task_views.count_tasks(session, search="§"),
    "tasks with a letter": lambda session: task_views.list_tasks(session, search="§", now=NOW),
    "tasks with a common word": lambda session: task_views.list_tasks(session, search="task", now=NOW),
    "tasks with a rare tag": lambda session: task_views.list_tasks(session, tag="rare", now=NOW),
    "tasks with no such tag": lambda session: task_views.list_tasks(session, tag="none", now=NOW),
    "tasks with a common tag": lambda session: task_views.list_tasks(session, tag="common", now=NOW),
    "how many tasks have a rare tag": lambda session: task_views.count_tasks(session, tag="rare"),
    "lines of a log": lambda session: logs.list_lines(session, RUN, after=5),
    "the end of a log": lambda session: logs.last_lines(session, RUN),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_big_table_is_read_from_end_to_end_for(filled: Catalogue, question: str) -> None:
    assert scanned(filled, QUESTIONS[question]) == set()


def test_a_scan_would_be_noticed(filled: Catalogue) -> None:
    count = text("SELECT count(*) FROM runs JOIN task_status USING (task_id) WHERE last_state <> 'x'")
    assert scanned(filled, lambda session: session.execute(count)) == {"runs", "task_status"}


def month(table: str) -> str:
    return f"{table}_{NOW:%Y_%m}"


def test_what_is_asked_by_its_instant_is_looked_for_in_its_month_only(filled: Catalogue) -> None:
    keys = [(uuid_of(f"r{i}"), NOW - seconds(i)) for i in range(50)]
    assert months_read(filled, lambda session: runs.get_many(session, keys)) == {month("runs")}
    day: dict[str, Any] = {"from_at": NOW - minutes(9), "to_at": NOW}
    assert months_read(filled, lambda session: runs.list_runs(session, **day)) == {month("runs")}
    listed = months_read(filled, lambda session: due_times.list_due_times(session, BUSY, **day))
    assert listed == {month("due_times")}


def test_a_run_by_its_id_alone_is_looked_for_in_every_month(filled: Catalogue) -> None:
    assert len(months_read(filled, lambda session: runs.get_run(session, RUN))) > 1


RARE: dict[str, Callable[[Session], object]] = {
    "missed due times": QUESTIONS["a page of missed due times"],
    "skipped in a pause": QUESTIONS["what a pause skipped"],
    "tasks with a rare tag": QUESTIONS["tasks with a rare tag"],
    "tasks with a letter": QUESTIONS["tasks with a letter"],
    "runs in a state": QUESTIONS["a page of runs in a state"],
}


@pytest.mark.parametrize("question", RARE)
def test_a_plan_that_depends_on_what_is_asked_is_made_for_it_however_often_it_is_asked(
    filled: Catalogue, question: str
) -> None:
    assert general_plans(filled, RARE[question]) == 0


def test_a_plan_that_does_not_is_made_once(filled: Catalogue) -> None:
    assert general_plans(filled, QUESTIONS["a run by its id"]) > 0


def general_plans(catalogue: Catalogue, work: Callable[[Session], object]) -> int:
    """How often it was answered by a plan for all values, when it is asked again and again."""
    once = Catalogue(catalogue.url, pool_size=1, application_name="duetime-test")
    for _ in range(20):
        with once.transaction() as session:
            work(session)
    with once.transaction() as session:
        counted = text(
            "SELECT sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements WHERE statement NOT LIKE 'SET%'"
        )
        general, own = session.execute(counted).one()
    once.close()
    assert own > 0
    return int(general)

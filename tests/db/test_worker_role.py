"""What workers may do in PostgreSQL, tried with their own credentials."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors

from db import tasks, worker_role
from db.engine import Catalogue
from db.specs import parse_task
from db.tables import Base
from db.worker_role import role_of, url_of
from tests.conftest import WORKER, as_worker
from tests.db.conftest import NOW, document

READ = {
    "tasks",
    "task_status",
    "due_times",
    "runs",
    "run_requests",
    "workers",
    "housekeeping_requests",
    "loop_failures",
}


@pytest.fixture
def connection(catalogue: Catalogue) -> Iterator[psycopg.Connection]:
    """Of a worker, to a catalogue that has a task."""
    with catalogue.transaction() as session:
        tasks.create_task(session, parse_task(document()), actor="ada", now=NOW)
    with psycopg.connect(as_worker(catalogue.url), autocommit=True) as connection:
        yield connection


def is_refused(connection: psycopg.Connection, statement: str) -> bool:
    try:
        connection.execute(statement.encode())
    except errors.InsufficientPrivilege:
        return True
    return False


FORBIDDEN = (
    "UPDATE tasks SET spec = spec",
    "UPDATE tasks SET version = version",
    "UPDATE tasks SET deleted_at = now()",
    "INSERT INTO tasks (id, spec, version, created_at, updated_at) VALUES (gen_random_uuid(), '{}', 1, now(), now())",
    "DELETE FROM tasks",
    "TRUNCATE tasks CASCADE",
    "UPDATE task_status SET wanted_version = 1",
    "UPDATE task_status SET applied = NULL",
    "DELETE FROM task_status",
    "DELETE FROM due_times",
    "DELETE FROM runs",
    "DELETE FROM run_logs",
    "UPDATE run_logs SET message = ''",
    "UPDATE run_requests SET run_id = NULL",
    "DELETE FROM run_requests",
    "UPDATE workers SET draining_at = NULL",
    "UPDATE workers SET name = 'another'",
    "DELETE FROM workers",
    "SELECT updated_by FROM secrets",
    "UPDATE secrets SET sealed = ''",
    "INSERT INTO secrets VALUES ('x', '', now(), 'x')",
    "DELETE FROM secrets",
    "UPDATE housekeeping_requests SET kept = '{}'",
    "INSERT INTO housekeeping_requests (id, requested_at, kept, refused) VALUES (gen_random_uuid(), now(), '{}', 'x')",
    "INSERT INTO events (type, task_id) VALUES ('task.deleted', gen_random_uuid())",
    "INSERT INTO audit (at, actor, change) VALUES (now(), 'x', 'x')",
    "INSERT INTO heartbeats VALUES ('reconciler', now(), '{}')",
    "SELECT setval('run_logs_line', 1)",
    "CREATE TABLE own (x int)",
    "DROP TABLE tasks",
    "ALTER TABLE tasks DISABLE TRIGGER ALL",
    "ALTER FUNCTION tell_of_run() SECURITY INVOKER",
    "CREATE ROLE another",
    "ALTER ROLE postgres PASSWORD 'x'",
    "SET ROLE postgres",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT rolpassword FROM pg_authid",
)


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_a_worker_may_not(connection: psycopg.Connection, statement: str) -> None:
    assert is_refused(connection, statement)


def test_a_worker_cannot_change_the_column_that_lets_it_lock_tasks(connection: psycopg.Connection) -> None:
    with pytest.raises(errors.GeneratedAlways):
        connection.execute("UPDATE tasks SET kind = 'http'")
    assert connection.execute("SELECT id FROM tasks FOR NO KEY UPDATE").fetchall()


@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
def test_a_worker_reads_what_it_needs_and_no_table_that_is_new(connection: psycopg.Connection, table: str) -> None:
    assert is_refused(connection, f"SELECT * FROM {table}") == (table not in READ)  # noqa: S608


def test_a_table_that_is_newly_made_is_closed_and_a_right_that_was_given_by_hand_is_taken_back(
    catalogue: Catalogue,
) -> None:
    with psycopg.connect(catalogue.url, autocommit=True) as owner:
        owner.execute("CREATE TABLE later (x int)")
        owner.execute(f"GRANT ALL ON audit TO {WORKER}")
    worker_role.prepare(catalogue.url, None, password="another", role="duetime_other_worker")
    worker_role.prepare(catalogue.url, None, password="worker", role=WORKER)
    with psycopg.connect(as_worker(catalogue.url), autocommit=True) as connection:
        assert is_refused(connection, "SELECT * FROM later")
        assert is_refused(connection, "SELECT * FROM audit")


def test_another_prefect_than_the_known_one_is_left_alone(catalogue: Catalogue) -> None:
    assert worker_role.prepare(catalogue.url, None, password="worker", role=WORKER)
    assert not worker_role.prepare(catalogue.url, catalogue.url, password="worker", role=WORKER)
    with psycopg.connect(as_worker(catalogue.url), autocommit=True) as connection:
        assert not is_refused(connection, "SELECT * FROM tasks")


def test_the_role_may_be_written_from_two_databases_at_once(catalogue: Catalogue) -> None:
    other = catalogue.url.rpartition("/")[0] + "/postgres"

    def write(url: str) -> None:
        for _ in range(20):
            worker_role._grant(url, (), role="duetime_test_two_doors", password="worker")

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(write, url) for url in (catalogue.url, other)]:
            done.result()
    with psycopg.connect(catalogue.url, autocommit=True) as connection:
        for url in (catalogue.url, other):
            with psycopg.connect(url, autocommit=True) as there:
                there.execute("DROP OWNED BY duetime_test_two_doors")
        connection.execute("DROP ROLE duetime_test_two_doors")


def test_the_address_of_the_role_is_that_of_the_database() -> None:
    url = "postgresql://owner:secret@[::1]:5433/shop?sslmode=require"
    assert role_of(url) == "shop_worker"
    assert url_of(url, role="shop_worker", password="a/b@c") == (
        "postgresql://shop_worker:a%2Fb%40c@[::1]:5433/shop?sslmode=require"
    )

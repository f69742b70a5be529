"""The migrations make what the models say, once, however many processes begin at the same moment."""

import subprocess
import sys
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, text

from db.engine import with_driver
from db.migrate import current, head, migrate
from db.tables import Base
from tests.conftest import FreshDatabase

pytestmark = pytest.mark.xdist_group("migrations")

# What the comparison of Alembic does not see, in PostgreSQL's own words.
COLUMNS = """
    SELECT a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.attgenerated::text, a.attidentity::text, pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
PARTITIONING = "SELECT partrelid::regclass::text, pg_get_partkeydef(partrelid) FROM pg_partitioned_table"
SEQUENCES = "SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'"


def engine_of(url: str) -> Engine:
    return create_engine(with_driver(url))


def facts(url: str, query: str) -> set[Any]:
    engine = engine_of(url)
    with engine.connect() as connection:
        found = {tuple(row) for row in connection.execute(text(query))}
    engine.dispose()
    return {row for row in found if "alembic_version" not in str(row) and not _is_a_month(str(row[0]))}


def _is_a_month(table: str) -> bool:
    return table[-2:].isdigit()


@pytest.fixture(scope="module")
def by_models(fresh_database: FreshDatabase) -> Any:
    """A database whose tables were made from the models, without any migration."""
    with fresh_database() as url:
        engine = engine_of(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE EXTENSION pg_trgm"))
            Base.metadata.create_all(connection)
        engine.dispose()
        yield url


@pytest.fixture(scope="module")
def by_migrations(fresh_database: FreshDatabase) -> Any:
    with fresh_database() as url:
        migrate(url)
        yield url


def test_alembic_sees_no_difference_between_the_models_and_the_head(by_migrations: str) -> None:
    engine = engine_of(by_migrations)

    def is_of_the_models(_: Any, name: str | None, *_more: Any) -> bool:
        return not _is_a_month(name or "")

    options = {"compare_server_default": True, "include_object": is_of_the_models}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES, PARTITIONING, SEQUENCES])
def test_postgresql_sees_no_difference_either(by_models: str, by_migrations: str, query: str) -> None:
    expected = facts(by_models, query)
    assert expected
    assert facts(by_migrations, query) == expected


def test_an_empty_database_comes_to_the_head_and_stays_there(database_url: str) -> None:
    assert current(database_url) is None
    migrate(database_url)
    assert current(database_url) == head()
    everything = {query: facts(database_url, query) for query in (COLUMNS, CONSTRAINTS, INDEXES)}
    migrate(database_url)
    assert {query: facts(database_url, query) for query in everything} == everything
    assert current(database_url) == head()


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    words = [sys.executable, "-c", "import sys; from db.migrate import migrate; migrate(sys.argv[1])", database_url]
    processes = [subprocess.Popen(words) for _ in range(3)]
    try:
        assert [process.wait(60) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait(10)
    assert current(database_url) == head()


def test_a_migration_that_failed_leaves_nothing_and_the_next_one_works(database_url: str) -> None:
    engine = engine_of(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE workers (in_the_way int)"))
    with pytest.raises(Exception, match="already exists"):
        migrate(database_url)
    assert facts(database_url, INDEXES) == set()
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE workers"))
    engine.dispose()
    migrate(database_url)
    assert current(database_url) == head()


def test_data_survives_another_migration(database_url: str) -> None:
    migrate(database_url)
    engine = engine_of(database_url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO heartbeats (part, at) VALUES ('x', now())"))
    migrate(database_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM heartbeats")) == 1
    engine.dispose()

"""One embedded PostgreSQL for the whole test run, whatever the number of pytest's processes, and databases in it."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from cli.postgres import EmbeddedPostgres
from db import connections, engine, tracebacks, worker_role
from db.engine import Catalogue
from db.migrate import migrate
from tests import layers

pytest_plugins = ["tests.prefect_server"]

# Two cores are shared by everything that is tested at the same moment: slow is no failure.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("shared"), max_examples=15)
settings.load_profile("shared")
connections.CONNECT_SECONDS = engine.POOL_TIMEOUT_SECONDS = 30
connections.IDLE_IN_TRANSACTION_SECONDS, connections.CALL_SECONDS = 30.0, 60.0

HOME_VARIABLE = "DUETIME_TEST_POSTGRES"
UNSAFE_BUT_FAST = (("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off"))

WORKER, WORKER_PASSWORD = "duetime_test_worker", "worker"
"""The role of workers, in all databases that are made of the migrated one."""

# Python's own parses the lines that it shows, and before 3.11.9 and 3.12.2 it may fail, and make others fail, which
# parse at the same moment in another thread: https://github.com/python/cpython/issues/106905
logging.Formatter.formatException = lambda _, about: tracebacks.bounded(about[1])  # type: ignore[method-assign, arg-type, assignment]

FreshDatabase = Callable[..., AbstractContextManager[str]]


def pytest_configure(config: pytest.Config) -> None:
    """Names the server's folder before pytest-xdist starts its workers, which inherit the name."""
    for mark in layers.declared():
        config.addinivalue_line("markers", mark)
    if not hasattr(config, "workerinput"):
        home = Path(tempfile.mkdtemp(prefix="duetime-tests-"))
        home.chmod(0o755)  # as root the server runs as another user
        os.environ[HOME_VARIABLE] = str(home)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """So that `-m` can choose by layer."""
    layers.mark(items)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """So that pytest-xdist can send the report of a test that failed on text that is no Unicode."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    return type(value)(_encodable(inner) for inner in value) if isinstance(value, list | tuple) else value


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops the server when all workers are done with it."""
    if not hasattr(config, "workerinput"):
        home = Path(os.environ.pop(HOME_VARIABLE))
        EmbeddedPostgres(home).stop()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The run's server, started by the first process that asks."""
    return EmbeddedPostgres(Path(os.environ[HOME_VARIABLE]), settings=UNSAFE_BUT_FAST).start()


@pytest.fixture(scope="session")
def fresh_database(postgres_url: str) -> FreshDatabase:
    """`with fresh_database(template="...") as url:` for fixtures of any scope; without a template it is empty."""

    @contextmanager
    def fresh(template: str = "template1") -> Iterator[str]:
        name = f"test_{uuid4().hex}"
        database = sql.Identifier(name)
        _administer(postgres_url, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, sql.Identifier(template)))
        try:
            yield f"{postgres_url.rpartition('/')[0]}/{name}"
        finally:
            _administer(postgres_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))

    return fresh


@pytest.fixture(scope="session")
def migrated(fresh_database: FreshDatabase) -> Iterator[str]:
    """The name of a database with the catalogue's tables and nothing in them, to be a template."""
    with fresh_database() as url:
        migrate(url)
        worker_role.prepare(url, None, password=WORKER_PASSWORD, role=WORKER)
        yield url.rpartition("/")[2]


@pytest.fixture
def catalogue(fresh_database: FreshDatabase, migrated: str) -> Iterator[Catalogue]:
    """An empty catalogue of the test's own, in which transactions are really committed."""
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        yield catalogue
        catalogue.close()


@pytest.fixture
def database_url(fresh_database: FreshDatabase) -> Iterator[str]:
    """An empty database of the test's own."""
    with fresh_database() as url:
        yield url


def as_worker(url: str) -> str:
    """The address as workers come to it."""
    return worker_role.url_of(url, role=WORKER, password=WORKER_PASSWORD)


def _administer(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)

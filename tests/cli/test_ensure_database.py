"""A database is made when it is missing, on any server."""

import contextlib
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest

from cli.postgres import PostgresUnavailable, ensure_database


def test_a_database_is_made_once_however_often_it_is_asked_for(postgres_url: str) -> None:
    name = f'ensured "{os.getpid()}'
    with ThreadPoolExecutor(8) as threads, contextlib.closing(psycopg.connect(postgres_url, autocommit=True)) as admin:
        list(threads.map(lambda _: ensure_database(postgres_url, name), range(8)))
        ensure_database(postgres_url, name)
        found = admin.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [name]).fetchone()
        admin.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))
    assert found == (1,)


def test_a_role_that_may_not_create_databases_is_told_what_to_ask_for(postgres_url: str) -> None:
    role = f"modest_{os.getpid()}"
    with contextlib.closing(psycopg.connect(postgres_url, autocommit=True)) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        try:
            url = f"postgresql://{role}:x@127.0.0.1:{urlsplit(postgres_url).port}/postgres"
            ensure_database(url, "postgres")
            with pytest.raises(PostgresUnavailable, match="CREATEDB"):
                ensure_database(url, "not_there")
        finally:
            admin.execute(f"DROP ROLE {role}")


def test_a_server_that_does_not_answer_is_told() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(PostgresUnavailable, match="does not answer"):
            ensure_database(f"postgresql://postgres:x@127.0.0.1:{silent.getsockname()[1]}/postgres", "any")


def test_databases_of_tests_are_their_own_and_can_come_from_a_template(
    database_url: str, fresh_database: Callable[..., contextlib.AbstractContextManager[str]]
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE sample (id int)")
    template = urlsplit(database_url).path[1:]
    with fresh_database(template=template) as url, psycopg.connect(url) as connection:
        assert url != database_url
        assert connection.execute("SELECT count(*) FROM sample").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)

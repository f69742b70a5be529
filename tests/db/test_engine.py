"""Reaching the catalogue: what is raised while PostgreSQL is away, and that it works again when it is back."""

import socket
import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import connections, engine, logs, tasks
from db.engine import Catalogue, database_url_from_environment, with_driver
from db.errors import CatalogueUnavailable
from db.logs import Line
from db.states import Level, Stream
from tests.db.conftest import NOW, create, document
from tests.system import free_port


def test_an_address_gets_its_driver_and_keeps_the_rest() -> None:
    assert with_driver("postgresql://a:b%40c@h:1/d?x=y") == "postgresql+psycopg://a:b%40c@h:1/d?x=y"
    assert with_driver("postgres://h/d") == "postgresql+psycopg://h/d"
    assert with_driver("postgresql+psycopg://h/d") == "postgresql+psycopg://h/d"


def test_without_an_address_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.DATABASE_URL, "postgresql://h/d")
    assert database_url_from_environment() == "postgresql://h/d"
    monkeypatch.setenv(engine.DATABASE_URL, "")
    with pytest.raises(RuntimeError, match="DUETIME_DATABASE_URL is not set"):
        database_url_from_environment()


def ask(catalogue: Catalogue, question: str = "SELECT 1") -> object:
    with catalogue.transaction() as session:
        return session.scalar(text(question))


def test_nobody_at_the_address_is_told_at_once() -> None:
    catalogue = Catalogue(f"postgresql://u:p@127.0.0.1:{free_port()}/d")
    with pytest.raises(CatalogueUnavailable, match="does not answer"):
        ask(catalogue)
    catalogue.close()


def test_somebody_who_accepts_and_says_nothing_is_waited_for_only_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 2)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        catalogue = Catalogue(f"postgresql://u:p@127.0.0.1:{mute.getsockname()[1]}/d")
        began = time.monotonic()
        with pytest.raises(CatalogueUnavailable):
            ask(catalogue)
        assert time.monotonic() - began < 8
        catalogue.close()


def kill_others(catalogue: Catalogue) -> None:
    """As a restart of PostgreSQL would: every connection to this database but the one that asks is gone."""
    other = Catalogue(catalogue.url, pool_size=1)
    kill = "pid <> pg_backend_pid() AND datname = current_database()"
    ask(other, f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {kill}")  # noqa: S608 - constants
    other.close()


def test_a_connection_that_is_lost_in_a_transaction_is_told_and_the_next_one_works(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueUnavailable), catalogue.transaction() as session:
        _lose_it_and_ask(catalogue, session)
    assert ask(catalogue) == 1


def _lose_it_and_ask(catalogue: Catalogue, session: Session) -> None:
    create(session)
    kill_others(catalogue)
    session.scalar(text("SELECT 1"))


def test_a_connection_that_is_lost_in_a_copy_is_told_the_same_way(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueUnavailable), catalogue.transaction() as session:
        _lose_it_and_append(catalogue, session)
    assert ask(catalogue, "SELECT count(*) FROM run_logs") == 0


def _lose_it_and_append(catalogue: Catalogue, session: Session) -> None:
    session.scalar(text("SELECT 1"))
    kill_others(catalogue)
    logs.append(session, [Line(uuid4(), NOW, Level.INFO, Stream.STDOUT, "hello")])


def test_idle_connections_that_were_lost_are_replaced_without_anybody_noticing(catalogue: Catalogue) -> None:
    assert ask(catalogue) == 1
    kill_others(catalogue)
    assert ask(catalogue) == 1


def test_a_statement_that_takes_too_long_is_ended(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(catalogue, "SHOW statement_timeout") == "5s"
    monkeypatch.setattr(connections, "STATEMENT_SECONDS", 1.0)
    impatient = Catalogue(catalogue.url)
    with pytest.raises(CatalogueUnavailable):
        ask(impatient, "SELECT pg_sleep(30)")
    assert ask(impatient) == 1
    impatient.close()


def test_a_copy_that_takes_too_long_is_told_the_same_way(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STATEMENT_SECONDS", 1.0)
    impatient = Catalogue(catalogue.url)
    line = Line(uuid4(), NOW, Level.INFO, Stream.STDOUT, "hello")
    with catalogue.transaction() as session:
        session.execute(text("LOCK TABLE run_logs IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(CatalogueUnavailable), impatient.transaction() as waiting:
            logs.append(waiting, [line])
    with impatient.transaction() as session:
        logs.append(session, [line])
    impatient.close()


def test_when_every_connection_is_taken_the_next_one_is_told(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "POOL_TIMEOUT_SECONDS", 0.2)
    small = Catalogue(catalogue.url, pool_size=1)
    with small.transaction() as session:
        session.scalar(text("SELECT 1"))
        with pytest.raises(CatalogueUnavailable):
            ask(small)
    assert ask(small) == 1
    small.close()


def test_other_errors_stay_what_they_are_and_undo_the_whole_transaction(catalogue: Catalogue) -> None:
    twice = text("INSERT INTO heartbeats (part, at) VALUES ('x', now()), ('x', now())")
    with pytest.raises(IntegrityError), catalogue.transaction() as session:
        session.execute(twice)
    with pytest.raises(ZeroDivisionError), catalogue.transaction() as session:
        _fail_after(create(session))
    with catalogue.transaction() as session:
        assert tasks.task_by_name(session, document()["name"]) is None


def _fail_after(_: object) -> None:
    raise ZeroDivisionError


def test_instants_come_back_in_utc_whatever_the_server_thinks(catalogue: Catalogue) -> None:
    found = ask(catalogue, "SELECT TIMESTAMPTZ '2026-05-01 12:00+05:45'")
    assert isinstance(found, datetime)
    assert (found, found.utcoffset()) == (datetime(2026, 5, 1, 6, 15, tzinfo=UTC), datetime.now(UTC).utcoffset())


def test_many_threads_share_the_pool(catalogue: Catalogue) -> None:
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(catalogue, "SELECT 7"))) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [7] * 30

"""Connections: each of their waits has an end, whoever does not answer."""

import asyncio
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text

from db import connections, notifications
from db.connections import Limits, bounded, connect, connect_async
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.notifications import Listener, Topic, notify
from tests.proxy import Mode, Proxy, through
from tests.waiting import wait_until


@pytest.fixture
def proxy(catalogue: Catalogue) -> Iterator[Proxy]:
    address = urlsplit(catalogue.url)
    assert address.hostname is not None
    assert address.port is not None
    with Proxy(address.hostname, address.port) as between:
        yield between


def took(call: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises((CatalogueUnavailable, psycopg.OperationalError)):
        call()
    return time.monotonic() - began


def test_a_transaction_that_its_client_has_left_open_is_ended_and_its_locks_are_gone(catalogue: Catalogue) -> None:
    left = connect(catalogue.url, application_name="left", limits=Limits(idle_in_transaction_seconds=0.3))
    left.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
    with catalogue.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM tasks")) == 0
    with pytest.raises((errors.IdleInTransactionSessionTimeout, psycopg.OperationalError)):
        left.execute("SELECT 1")
    left.close()


def test_what_is_locked_is_waited_for_only_shortly(catalogue: Catalogue) -> None:
    limits = Limits(lock_seconds=0.2)
    with catalogue.transaction() as session, connect(catalogue.url, application_name="x", limits=limits) as other:
        session.execute(text("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(errors.LockNotAvailable):
            other.execute("SELECT count(*) FROM tasks")


def test_every_limit_is_in_force_where_nobody_says_otherwise(catalogue: Catalogue) -> None:
    expected = {
        "statement_timeout": "5s",
        "lock_timeout": "4s",
        "idle_in_transaction_session_timeout": f"{connections.IDLE_IN_TRANSACTION_SECONDS:g}s",
        "TimeZone": "UTC",
    }
    with connect(catalogue.url, application_name="x") as connection:
        assert connection.call_seconds == connections.CALL_SECONDS
        found = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in expected}
        assert {name: row[0] for name, row in found.items() if row} == expected
        assert connection.info.get_parameters()["tcp_user_timeout"] == "10000"


def test_a_call_that_nobody_answers_is_given_up(catalogue: Catalogue, proxy: Proxy) -> None:
    limits = Limits(call_seconds=0.5)
    with connect(through(proxy, catalogue.url), application_name="x", limits=limits, autocommit=True) as connection:
        proxy.mode = Mode.SWALLOW
        assert took(lambda: connection.execute("SELECT 1")) < 3
        assert connection.closed


def test_a_call_that_nobody_answers_is_given_up_in_an_event_loop_too(catalogue: Catalogue, proxy: Proxy) -> None:
    async def ask() -> None:
        limits = Limits(call_seconds=0.5)
        connection = await connect_async(through(proxy, catalogue.url), application_name="x", limits=limits)
        proxy.mode = Mode.SWALLOW
        await connection.execute("SELECT 1")

    assert took(lambda: asyncio.run(ask())) < 3


def test_the_pool_of_a_catalogue_gives_up_what_is_swallowed_and_works_when_it_is_passed_again(
    catalogue: Catalogue, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CALL_SECONDS", 0.5)
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 2)
    for same_statements in (False, True):
        swallowed = Catalogue(through(proxy, catalogue.url), pool_size=2, same_statements=same_statements)
        proxy.mode = Mode.PASS
        assert ask(swallowed) == 1
        proxy.mode = Mode.SWALLOW
        assert took(lambda: ask(swallowed)) < 8  # noqa: B023 - called at once
        proxy.mode = Mode.PASS
        assert ask(swallowed) == 1
        swallowed.close()


def ask(catalogue: Catalogue) -> object:
    with catalogue.transaction() as session:
        return session.scalar(text("SELECT 1"))


def test_a_listener_notices_that_nobody_speaks_and_listens_again(
    catalogue: Catalogue, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "ALIVE_SECONDS", 0.5)
    monkeypatch.setattr(notifications, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(notifications, "ROUND_SECONDS", 0.1)
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 2)
    heard: list[frozenset[str]] = []
    listener = Listener(through(proxy, catalogue.url), heard.append).start()
    wait_until(lambda: listener.connected, "the listener", seconds=10)
    proxy.mode = Mode.SWALLOW
    wait_until(lambda: not listener.connected, "that it is deaf", seconds=10)
    proxy.mode = Mode.PASS
    wait_until(lambda: listener.connected, "the listener again", seconds=10)
    with catalogue.transaction() as session:
        notify(session, [Topic.LOGS])
    wait_until(lambda: frozenset({Topic.LOGS}) in heard, "a hint", seconds=10)
    listener.stop()


def test_a_listener_is_deaf_for_fifteen_seconds_at_most() -> None:
    assert notifications.ALIVE_SECONDS + notifications.ANSWER_SECONDS + 2 * notifications.ROUND_SECONDS <= 15


def test_what_a_machine_that_is_gone_has_locked_is_free_within_five_seconds() -> None:
    assert connections.STATEMENT_SECONDS <= 5
    assert Limits(idle_in_transaction_seconds=4).idle_in_transaction_seconds < 5
    assert bounded().call_seconds > bounded().statement_seconds > bounded().lock_seconds

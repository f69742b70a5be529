"""Connections to PostgreSQL on which no wait is without an end: the only place where they are made.

The limits are set after connecting, not as `options` of the start, which pgbouncer refuses. Those of the server end
what a client has left behind: a transaction whose machine is gone keeps its locks for some seconds only. Those of the
client end a call that is never answered: a proxy may keep a connection open behind which nobody is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 5.0
LOCK_SECONDS = 4.0
IDLE_IN_TRANSACTION_SECONDS = 4.0
"""Shorter than five seconds with what it takes PostgreSQL to notice: so long others wait for a machine that is gone."""
CALL_SECONDS = 8.0
"""Longer than a statement may take: PostgreSQL's own refusal comes first, and says more."""
TCP: Mapping[str, int] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""What was sent and not acknowledged for ten seconds is lost, in milliseconds; without it TCP waits for minutes."""
TCP_OF_SERVER: Mapping[str, int] = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each wait may last, in seconds; 0 is without an end."""

    statement_seconds: float = 0.0
    lock_seconds: float = 0.0
    idle_in_transaction_seconds: float = 0.0
    call_seconds: float = 0.0
    """The client's own: until PostgreSQL says anything."""


def bounded() -> Limits:
    """For everything that people, runs and passes wait for."""
    return Limits(STATEMENT_SECONDS, LOCK_SECONDS, IDLE_IN_TRANSACTION_SECONDS, CALL_SECONDS)


PATIENT = Limits(lock_seconds=60, idle_in_transaction_seconds=60)
"""For migrations and what an operator does by hand: it takes as long as it takes, but keeps nobody waiting for ever."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection on which each call ends: with an answer, or as lost."""

    call_seconds: float = 0.0

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """As psycopg's own.

        Raises:
            psycopg.OperationalError: PostgreSQL said nothing for `call_seconds`; the connection is closed.
        """
        if timeout is not None or not self.call_seconds:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.call_seconds)
        except errors._WaitTimeout as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.call_seconds:g} s") from error


class BoundedAsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for an event loop."""

    call_seconds: float = 0.0

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """As `BoundedConnection.wait`."""
        if timeout is not None or not self.call_seconds:
            return await super().wait(gen, interval, timeout)
        try:
            return await super().wait(gen, interval, self.call_seconds)
        except errors._WaitTimeout as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.call_seconds:g} s") from error


def connect(
    url: str, *, application_name: str, limits: Limits | None = None, autocommit: bool = False, **parameters: Any
) -> BoundedConnection:
    """A connection with these limits; `parameters` are libpq's.

    Raises:
        psycopg.OperationalError: there is none to be had within CONNECT_SECONDS for each host.
    """
    limits = bounded() if limits is None else limits
    chosen = _parameters(application_name) | parameters
    connection = BoundedConnection.connect(libpq_address(url), autocommit=True, **chosen)
    try:
        connection.call_seconds = limits.call_seconds
        connection.execute(*_settings(limits))
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_async(
    url: str, *, application_name: str, limits: Limits | None = None, **parameters: Any
) -> BoundedAsyncConnection:
    """As `connect`, with autocommit, for an event loop."""
    limits = bounded() if limits is None else limits
    chosen = _parameters(application_name) | parameters
    connection = await BoundedAsyncConnection.connect(libpq_address(url), autocommit=True, **chosen)
    try:
        connection.call_seconds = limits.call_seconds
        await connection.execute(*_settings(limits))
    except BaseException:
        await connection.close()
        raise
    return connection


def libpq_address(url: str) -> str:
    """The address without SQLAlchemy's driver. Pure."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql://{rest}" if separator and scheme.partition("+")[0] in ("postgresql", "postgres") else url


def _parameters(application_name: str) -> dict[str, Any]:
    return {"connect_timeout": CONNECT_SECONDS, "application_name": application_name, **TCP}


def _settings(limits: Limits) -> tuple[str, list[str]]:
    """One statement that sets the limits in the server, and its values. Pure."""
    values = {
        "statement_timeout": limits.statement_seconds * 1000,
        "lock_timeout": limits.lock_seconds * 1000,
        "idle_in_transaction_session_timeout": limits.idle_in_transaction_seconds * 1000,
        **TCP_OF_SERVER,
    }
    calls = ", ".join("set_config(%s, %s, false)" for _ in range(len(values) + 1))
    flat = [text for name, value in values.items() for text in (name, str(round(value)))]
    return f"SELECT {calls}", [*flat, "timezone", "UTC"]

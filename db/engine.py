"""How to reach the catalogue: its address, its pool, one transaction at a time."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import datetime

import psycopg
from psycopg.types.json import set_json_loads
from sqlalchemy import Engine, ExceptionContext, create_engine, event, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from db import connections, sqlstates
from db.connections import Limits
from db.json_texts import read_json
from db.sqlstates import Meaning

DATABASE_URL = "DUETIME_DATABASE_URL"
POOL_TIMEOUT_SECONDS = 3


def database_url_from_environment() -> str:
    """The address that the environment names.

    Raises:
        RuntimeError: it names none.
    """
    url = os.environ.get(DATABASE_URL, "")
    if not url:
        raise RuntimeError(f"{DATABASE_URL} is not set. Set it to postgresql://user:password@host/database.")
    return url


def with_driver(url: str) -> str:
    """The address as SQLAlchemy wants it: `postgresql://` and `postgres://` mean psycopg 3 here."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else url


def database_now(session: Session) -> datetime:
    """The present instant by PostgreSQL's clock, the one that all machines share."""
    present: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return present


class Catalogue:
    """A pool of connections to the catalogue."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        application_name: str = "duetime",
        same_statements: bool = False,
        limits: Limits | None = None,
    ) -> None:
        """`same_statements`: few statements, made again and again, whose plans are made once for all values.

        To plan a claim over a year of months takes ten times as long as to make it.
        """
        self.url = url
        self.engine: Engine = create_engine(
            with_driver(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            # The connection that was used last has its plans.
            pool_use_lifo=True,
            # What a statement was given is nothing for an exception's text, and so for a log.
            hide_parameters=True,
            # Whoever makes the same statements makes them again when the connection was lost.
            pool_pre_ping=not same_statements,
        )

        def connect(*_: object) -> psycopg.Connection[object]:
            connection = connections.connect(
                url,
                application_name=application_name,
                limits=limits,
                prepare_threshold=1 if same_statements else 5,
            )
            set_json_loads(read_json, connection)
            if same_statements:
                connection.execute("SET plan_cache_mode = force_generic_plan")
                connection.commit()
            return connection

        event.listen(self.engine, "do_connect", connect)
        event.listen(self.engine, "handle_error", _give_up_connection)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._check: Callable[[Session], None] = lambda _session: None

    def checked(self, check: Callable[[Session], None]) -> "Catalogue":
        """The same connections, for transactions that begin with a check, and end where it raises."""
        checked = copy(self)
        checked._check = check
        return checked

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that is committed at the end of the block, rolled back when it raises.

        Raises:
            CatalogueUnavailable: PostgreSQL does not do it now, and may later.
        """
        with self._errors_sorted(), self._sessions.begin() as session:
            self._check(session)
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A session in which everything is read as of one instant, and nothing written.

        Raises:
            CatalogueUnavailable.
        """
        with self._errors_sorted(), self._sessions.begin() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
            yield session

    @contextmanager
    def _errors_sorted(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, psycopg.Error) as error:
            if isinstance(error, psycopg.Error) and sqlstates.wants_another_connection(error):
                self.engine.dispose()  # of a COPY, of which SQLAlchemy knows nothing
            if sqlstates.meaning_of(error) is Meaning.AWAY:
                raise sqlstates.unavailable(error) from error
            raise

    def close(self) -> None:
        """Gives every connection back."""
        self.engine.dispose()


def _give_up_connection(context: ExceptionContext) -> None:
    """After a failover an old connection still answers, and takes no writes: all of them are made anew."""
    if sqlstates.wants_another_connection(context.original_exception):
        context.is_disconnect = True

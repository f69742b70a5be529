"""How to reach the catalogue: its address, its pool, one transaction at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from db.errors import CatalogueUnavailable

DATABASE_URL = "DUETIME_DATABASE_URL"
STATEMENT_TIMEOUT_SECONDS = 5
POOL_TIMEOUT_SECONDS = 3
CONNECT_TIMEOUT_SECONDS = 3
OF_A_COPY = (psycopg.OperationalError, psycopg.InterfaceError)
"""SQLAlchemy knows nothing of a COPY, so it leaves these as they are."""


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
        self, url: str, *, pool_size: int = 10, application_name: str = "duetime", same_statements: bool = False
    ) -> None:
        """`same_statements`: few statements, made again and again, whose plans are made once for all values.

        To plan a claim over a year of months takes ten times as long as to make it.
        """
        self.url = url
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000} -c timezone=UTC"
        if same_statements:
            options += " -c plan_cache_mode=force_generic_plan"
        self.engine: Engine = create_engine(
            with_driver(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            # The connection that was used last has its plans.
            pool_use_lifo=True,
            # Whoever makes the same statements makes them again when the connection was lost.
            pool_pre_ping=not same_statements,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": application_name,
                "options": options,
                "prepare_threshold": 1 if same_statements else 5,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
            },
        )
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that is committed at the end of the block, rolled back when it raises.

        Raises:
            CatalogueUnavailable: PostgreSQL does not answer.
        """
        try:
            with self._sessions.begin() as session:
                yield session
        except (OperationalError, InterfaceError, PoolTimeout, *OF_A_COPY) as error:
            raise CatalogueUnavailable from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise CatalogueUnavailable from error
            raise

    def close(self) -> None:
        """Gives every connection back."""
        self.engine.dispose()

"""Brings the catalogue's tables up to date, under a lock, so that any number of parts may start at once."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.connections import PATIENT
from db.engine import Catalogue
from db.partitions import ensure_partitions

LOCK = 7_463_001  # any number that nobody else locks in this database


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def head() -> str:
    """The newest revision that this code knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def migrate(url: str) -> None:
    """Applies every migration that is missing and makes the partitions of these months.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached.
    """
    catalogue = Catalogue(url, pool_size=1, application_name="duetime-migrate", limits=PATIENT)
    with closing(catalogue), catalogue.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        with Session(connection) as session:
            ensure_partitions(session, now=datetime.now(UTC))
            session.commit()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()


def current(url: str) -> str | None:
    """The revision that the database is at; None before the first."""
    catalogue = Catalogue(url, pool_size=1, application_name="duetime-migrate", limits=PATIENT)
    with closing(catalogue), catalogue.engine.connect() as connection:
        exists = connection.execute(text("SELECT to_regclass('alembic_version')")).scalar()
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if exists else None
    return None if found is None else str(found)

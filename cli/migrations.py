"""`duetime migrate`: both databases brought up to date, the catalogue's and Prefect's own."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from cli.console import Refused, say
from cli.leash import leashed
from cli.parts import WORKER_PASSWORD_FILE
from cli.postgres import ensure_database
from cli.settings import for_libpq, for_prefect, prefect_database
from db import worker_role
from db.connections import connect
from db.migrate import migrate

WAIT_SECONDS = 60.0
RETRY_SECONDS = 0.5
HOPELESS = ("password authentication failed", "no pg_hba.conf entry", "does not exist", "invalid connection option")


def migrate_everything(environ: Mapping[str, str]) -> None:
    """What is up to date already stays as it is; any number may do this at once.

    Raises:
        Refused: an address is missing or wrong, PostgreSQL does not answer, or a migration fails.
        PostgresUnavailable: Prefect's database can't be made.
    """
    catalogue = environ.get("DUETIME_DATABASE_URL", "")
    if not catalogue:
        raise Refused("DUETIME_DATABASE_URL is not set. Set it to postgresql://user:password@host/database.")
    prefect = environ.get("DUETIME_PREFECT_DATABASE_URL") or prefect_database(catalogue)
    _wait_for(catalogue)
    _ensure(for_libpq(prefect), catalogue)
    say("Bringing the catalogue and Prefect's database up to date")
    # Prefect's takes seconds, most of them to be loaded, in which the catalogue's are done.
    upgrade = _start_upgrade(for_prefect(prefect), environ)
    try:
        migrate(catalogue)
    except SQLAlchemyError as error:
        upgrade.terminate()
        raise Refused(f"The catalogue could not be brought up to date: {error}") from error
    finally:
        upgrade.wait()
    if upgrade.returncode != 0:
        raise Refused("Prefect's database could not be brought up to date; Prefect says above why.")
    _prepare_workers(catalogue, for_libpq(prefect), environ)


def _prepare_workers(catalogue: str, prefect: str, environ: Mapping[str, str]) -> None:
    """Their role, where they have a password of their own."""
    file = environ.get(WORKER_PASSWORD_FILE)
    if not file:
        return
    try:
        password = Path(file).read_text().strip()
    except OSError as error:
        raise Refused(f"{WORKER_PASSWORD_FILE}: {file} cannot be read: {error.strerror}.") from error
    if not password:
        raise Refused(f"{WORKER_PASSWORD_FILE}: {file} is empty. Write the password of the workers' role into it.")
    try:
        if not worker_role.prepare(catalogue, prefect, password=password):
            say("Prefect's tables are others than those that workers know: they tell it all over its API")
    except worker_role.RoleRefused as error:
        raise Refused(str(error)) from error


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while (error := _refusal(url)) is not None:
        if any(words in error for words in HOPELESS):
            raise Refused(f"PostgreSQL does not let us in: {error}. Put DUETIME_DATABASE_URL (--database-url) right.")
        if time.monotonic() > deadline:
            raise Refused(
                f"PostgreSQL did not answer within {WAIT_SECONDS:g} s: {error}. "
                "Start it, or put DUETIME_DATABASE_URL (--database-url) right."
            )
        time.sleep(RETRY_SECONDS)


def _refusal(url: str) -> str | None:
    """Why PostgreSQL can't be used at this address; None when it can."""
    try:
        connect(url, application_name="duetime-migrate").close()
    except psycopg.Error as error:
        return str(error).strip()
    return None


def _ensure(prefect: str, catalogue: str) -> None:
    """A role that may use its own database alone is asked for no more than that."""
    if _refusal(prefect) is None:
        return
    parts = urlsplit(prefect)
    elsewhere = parts.netloc != urlsplit(catalogue).netloc
    server = parts._replace(path="/postgres").geturl() if elsewhere else catalogue
    ensure_database(server, unquote(parts.path.strip("/")))


def _start_upgrade(url: str, environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    own = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url, "DO_NOT_TRACK": "1"}
    command = (sys.executable, "-P", "-m", "prefect", "server", "database", "upgrade", "-y")
    return subprocess.Popen(leashed(command), stdin=subprocess.DEVNULL, env={**environ, **own})

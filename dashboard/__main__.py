"""`python -m dashboard`: the pages and the API as one process on one port."""

import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn

import uvicorn
from sqlalchemy.exc import ProgrammingError

from dashboard.asgi import create_app
from dashboard.binding import PASSWORD, PUBLISHED_ON, UnsafeBinding, check_binding
from dashboard.context import catalogue
from dashboard.live import hub
from dashboard.provider import Provider
from db import accounts, journal
from db.errors import CatalogueUnavailable
from db.hosts import is_loopback
from db.http_connections import SERVED

log = logging.getLogger("dashboard")

STOP_SECONDS = 2
"""How long open connections may take to end."""
CANNOT_START = 2


def main() -> int:
    """Serves until it is told to stop. 2: the environment does not say what is needed."""
    journal.keep()
    host = os.environ.get("DUETIME_HOST") or "127.0.0.1"
    try:
        port = port_in(os.environ)
        check_binding(host, os.environ, has_way_in=_has_way_in())
        app = create_app(catalogue(), hub(), host=host, port=port)
    except (RuntimeError, ValueError, UnsafeBinding) as error:
        log.error("%s", error)
        return CANNOT_START
    # After its own clean end uvicorn raises the signal again; without this the exit code would say: killed.
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        **SERVED,
    )
    return 0


def _has_way_in() -> bool:
    """Whether somebody could say who they are, other than by the password of the environment.

    Raises:
        RuntimeError: PostgreSQL does not answer, so that it is not known.
    """
    if os.environ.get(PASSWORD) or Provider.from_environment() is not None:
        return True
    if is_loopback(os.environ.get(PUBLISHED_ON) or os.environ.get("DUETIME_HOST") or "127.0.0.1"):
        return False  # nobody asks
    try:
        with catalogue().transaction() as session:
            return accounts.there_is_an_admin(session)
    except CatalogueUnavailable as error:
        raise RuntimeError(str(error)) from error
    except ProgrammingError:
        return False  # there are no tables yet


def port_in(environ: Mapping[str, str]) -> int:
    """The port that the environment names.

    Raises:
        ValueError: what it names is none.
    """
    text = environ.get("DUETIME_PORT") or "3000"
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"DUETIME_PORT is {text!r}. Set it to a number from 1 to 65535.")
    return int(text)


def _end(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())

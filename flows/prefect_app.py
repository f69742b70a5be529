"""Prefect's server as we start it: its own application behind our guard, in a process that gives way.

    python -m uvicorn --factory flows.prefect_app:create_app

Two slow spots are mended. It would walk the system's folder of time zones, 3 ms, for every cron schedule that it reads
or writes (`prefect/_internal/schemas/validators.py:default_timezone`): a third of what a deployment costs. And whenever
asyncpg writes an instant, it subtracts PostgreSQL's epoch from it, for which pendulum makes an interval with its years
and months (`pendulum/datetime.py:DateTime.__sub__`): a sixth of what a run costs at a hundred a second.
"""

import functools
import os
import zoneinfo
from datetime import datetime
from typing import Any, cast

import pendulum
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from db.engine import DATABASE_URL, Catalogue
from db.hosts import Hosts
from flows.accounts import Accounts, asking
from flows.priority import give_way

PREFECT_HOSTS = "DUETIME_PREFECT_HOSTS"
"""More names under which Prefect's server is reached."""

# Before Prefect takes the function from its module.
zoneinfo.available_timezones = functools.cache(zoneinfo.available_timezones)

from prefect.server.api import server  # noqa: E402
from prefect.settings import get_current_settings  # noqa: E402

from flows.prefect_guard import guarded  # noqa: E402

_interval_since = pendulum.DateTime.__sub__


def _since(self: pendulum.DateTime, other: Any) -> Any:
    """What Prefect calculates with are pendulum's own instants; a plain one is an epoch, and its answer a plain one."""
    if type(other) is datetime:
        return datetime.__sub__(self, other)
    return _interval_since(self, other)


def create_app() -> ASGIApp:
    """The application, in a process that gives way to all others."""
    give_way()
    pendulum.DateTime.__sub__ = _since  # type: ignore[method-assign]
    api = get_current_settings().server.api
    if not api.auth_string:
        raise SystemExit("PREFECT_SERVER_API_AUTH_STRING is not set. Set it to user:password, for its clients, too.")
    names = os.environ.get(PREFECT_HOSTS, "").split(",")
    hosts = Hosts.named(str(api.host), api.port, names, variable=PREFECT_HOSTS)
    url = os.environ.get(DATABASE_URL)
    catalogue = Catalogue(url, pool_size=1, application_name="duetime-prefect-guard") if url else None
    accounts = Accounts(asking(catalogue) if catalogue else None)

    async def is_open() -> bool:
        return not await accounts.there_are_any()

    return guarded(_without_cors(), hosts, auth_string=api.auth_string.get_secret_value(), is_open=is_open)


def _without_cors() -> ASGIApp:
    """Prefect's own application would let the pages of every origin read what it answers."""
    app, cors = server.create_app(), cast(object, CORSMiddleware)
    app.user_middleware = [each for each in app.user_middleware if each.cls is not cors]
    return app

"""Prefect's server as we start it: its own application, in a process that gives way, with two slow spots mended.

    python -m uvicorn --factory flows.prefect_app:create_app

It would walk the system's folder of time zones, 3 ms, for every cron schedule that it reads or writes
(`prefect/_internal/schemas/validators.py:default_timezone`): a third of what a deployment costs. And whenever asyncpg
writes an instant, it subtracts PostgreSQL's epoch from it, for which pendulum makes an interval with its years and
months (`pendulum/datetime.py:DateTime.__sub__`): a sixth of what a run costs at a hundred a second.
"""

import functools
import zoneinfo
from datetime import datetime
from typing import Any

import pendulum
from fastapi import FastAPI

from flows.priority import give_way

# Before Prefect takes the function from its module.
zoneinfo.available_timezones = functools.cache(zoneinfo.available_timezones)

from prefect.server.api import server  # noqa: E402

_interval_since = pendulum.DateTime.__sub__


def _since(self: pendulum.DateTime, other: Any) -> Any:
    """What Prefect calculates with are pendulum's own instants; a plain one is an epoch, and its answer a plain one."""
    if type(other) is datetime:
        return datetime.__sub__(self, other)
    return _interval_since(self, other)


def create_app() -> FastAPI:
    """The application, in a process that gives way to all others."""
    give_way()
    pendulum.DateTime.__sub__ = _since  # type: ignore[method-assign]
    return server.create_app()

"""Prefect's server as we start it: its own application, which looks for the names of time zones once.

    python -m uvicorn --factory flows.prefect_app:create_app

It would walk the system's folder of zones, 3 ms, for every cron schedule that it reads or writes
(`prefect/_internal/schemas/validators.py:default_timezone`): a third of what a deployment costs.
"""

import functools
import zoneinfo

# Before Prefect takes the function from its module.
zoneinfo.available_timezones = functools.cache(zoneinfo.available_timezones)

from prefect.server.api.server import create_app  # noqa: E402

__all__ = ["create_app"]

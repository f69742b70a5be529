"""Whether this Prefect is one that the accelerator may write to: its version, and the revision of its database."""

import asyncio
import contextlib
import logging
from time import monotonic
from typing import Any

import psycopg

from db import loops
from db.prefect_answers import PrefectRefused, PrefectUnavailable
from flows.prefect_server import PrefectServer

log = logging.getLogger(__name__)

PREFECT_DATABASE_URL = "DUETIME_PREFECT_DATABASE_URL"
PROVEN = {"3.8.8": "d4a7e1c93f52"}
"""The versions of Prefect that the tests were passed on, and the revision of the database of each."""

SURE_SECONDS = 60.0
AGAIN_SECONDS = 1.0


class Unproven(Exception):
    """The accelerator may not write to this Prefect; the message says why."""


class Proof:
    """What the server says of its version, asked again now and then: it may be upgraded while a worker runs."""

    def __init__(self, prefect: PrefectServer) -> None:
        self._prefect = prefect
        self._revision: str | None = None
        self._why_not = ""
        self._for_good = False
        self._sure_until = 0.0
        self._looking: asyncio.Task[None] | None = None

    def holds(self) -> bool:
        """As far as is known; where that is old, it is looked up behind this."""
        if monotonic() > self._sure_until and (self._looking is None or self._looking.done()):
            self._looking = loops.beside("worker.accelerator proof", self._look_again())
        return self._revision is not None

    async def look(self) -> None:
        """Asks the server; where it is away, what was known stays known.

        Raises:
            Unproven: its version is not a proven one.
        """
        if self._for_good:
            return
        self._sure_until = monotonic() + SURE_SECONDS
        try:
            version = await self._prefect.call("GET", "/admin/version")
        except PrefectUnavailable:
            self._sure_until = monotonic() + AGAIN_SECONDS
            return
        except PrefectRefused as error:
            version = f"unknown ({error.status})"
        self._revision = PROVEN.get(str(version))
        if self._revision is None:
            raise Unproven(f"Prefect's version is {version}, and it was proven on {' and '.join(PROVEN)}")

    async def check(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Compares the revision of the database; while the server's version is unknown, any proven one will do.

        Raises:
            Unproven: it is another one.
        """
        try:
            rows = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchall()
        except psycopg.ProgrammingError as error:
            raise Unproven(f"{PREFECT_DATABASE_URL} names a database that is not Prefect's: {error}") from error
        found = [row[0] for row in rows]
        if found not in ([[self._revision]] if self._revision else [[one] for one in PROVEN.values()]):
            raise Unproven(f"Prefect's database has revision {', '.join(found)}, and it was proven on {PROVEN}")

    def refuse(self, why: object, *, for_good: bool = False) -> None:
        """From now on it does not hold: until it is looked up again, or for ever."""
        self._revision = None
        self._for_good = self._for_good or for_good
        self._sure_until = monotonic() + SURE_SECONDS
        if str(why) != self._why_not:
            self._why_not = str(why)
            log.warning("The accelerator is not used: %s. Prefect is told over its API.", why)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def _look_again(self) -> None:
        try:
            await self.look()
        except Unproven as error:
            self.refuse(error)

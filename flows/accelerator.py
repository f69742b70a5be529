"""The accelerator: reports of runs, written in batches into Prefect's own tables where Prefect's database is ours.

Prefect's schema and rules are its own affair. So this writes only behind the catalogue's claim, only what its tests
prove to be what Prefect's API writes, and only for the versions that they prove it on. Whatever else there is, is told
over the API. What waits is read there, too, once it is seen that the server has this very database.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import errors

from db import connections, loops, sqlstates
from db.connections import Limits
from db.prefect_answers import PrefectRefused, PrefectUnavailable
from db.sqlstates import Meaning
from flows import accelerator_reads
from flows.accelerator_events import Event, Outbox, event_of
from flows.accelerator_facts import Facts
from flows.accelerator_proof import PREFECT_DATABASE_URL, Proof, Unproven
from flows.accelerator_runs import PrefectRun
from flows.accelerator_writes import Written, write
from flows.prefect_server import Offered, PrefectServer
from flows.telling import Report

log = logging.getLogger(__name__)

T = TypeVar("T")

SWITCH = "DUETIME_ACCELERATOR"
SEE_SECONDS = 3.0
PATIENCE_SECONDS = (0.1, 0.4)
"""After so long, what was locked is tried again: Prefect marks a hundred runs as late in one transaction."""
AGAIN_SECONDS = 1.0
LOCK_SECONDS = 0.2
"""Prefect's own transactions go first: what they have locked is told over its API."""


def limits() -> Limits:
    """How long each wait for Prefect's database may last."""
    return replace(connections.bounded(), lock_seconds=LOCK_SECONDS)


async def accelerator_of(
    database_url: str | None, prefect: PrefectServer, *, starting: Callable[[], bool] = lambda: False
) -> "Accelerator | None":
    """The accelerator for Prefect's database; None, and a line in the log that says why, where it may not be used.

    While the server or its database is away, it is there, and tells nothing. `starting` says whether runs wait to be
    started: events come after these.
    """
    if os.environ.get(SWITCH, "").lower() in ("off", "false", "0", "no"):
        log.info("The accelerator is not used: %s is off. Prefect is told over its API.", SWITCH)
        return None
    if not database_url:
        log.info("The accelerator is not used: %s is not set. Prefect is told over its API.", PREFECT_DATABASE_URL)
        return None
    accelerator = None
    try:
        accelerator = Accelerator(database_url, prefect, starting=starting)
        await accelerator.prove()
    except Exception as error:  # noqa: BLE001 - a worker does without it
        log.warning("The accelerator is not used: %s. Prefect is told over its API.", error)
        if accelerator is not None:
            await accelerator.close()
        return None
    return accelerator


class OtherDatabase(Unproven):
    """What was written here is not what the server shows."""


class Accelerator:
    """Writes what became of runs; what it leaves out is to be told over the API."""

    def __init__(
        self, database_url: str, prefect: PrefectServer, *, starting: Callable[[], bool] = lambda: False
    ) -> None:
        """
        Raises:
            Unproven: the address is not one of PostgreSQL.
        """
        self._address = libpq_address(database_url)
        self._prefect = prefect
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._reading: psycopg.AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()
        self._answers = True
        self._away_until = 0.0
        self._proof, self._facts, self._outbox = Proof(prefect), Facts(), Outbox(prefect, starting=starting)
        self._is_seen = False
        """Whether the server shows what is written over this connection."""

    async def tell(self, reports: Mapping[UUID, Sequence[Report]]) -> set[UUID]:
        """Writes the reports of these runs, of each in their order, with their true times, in one transaction.

        Returns the runs whose reports are all told. The others are to be told over the API. Never raises.
        """
        async with self._turn:
            if not reports or not self._proof.holds() or monotonic() < self._away_until:
                return set()
            told: set[UUID] = set()
            try:
                await self._tell(reports, told)
                self._note(answers=True)
            except OtherDatabase as error:
                self._proof.refuse(error, for_good=True)
                return set()
            except Unproven as error:
                self._proof.refuse(error)
            except Exception as error:  # noqa: BLE001 - what is not told here is told over the API
                await self._give_way(error)
            return told

    async def _give_way(self, error: Exception) -> None:
        if sqlstates.wants_another_connection(error):
            await self._hang_up()
        if sqlstates.meaning_of(error) is Meaning.AWAY:
            self._away_until = monotonic() + AGAIN_SECONDS
            self._note(answers=False, why=error)
        else:
            loops.record_of("worker.accelerator").failed(error)

    async def scheduled(self, *, before: datetime, besides: Collection[UUID] = ()) -> list[Offered] | None:
        """What `PrefectServer.scheduled` would answer; None where that is to be asked. Never raises."""
        return await self._read(
            lambda connection: accelerator_reads.scheduled(connection, self._prefect, before=before, besides=besides)
        )

    async def count_scheduled(self, run_ids: Collection[UUID]) -> int | None:
        """What `PrefectServer.count_scheduled` would answer; None where that is to be asked. Never raises."""
        return await self._read(lambda connection: accelerator_reads.count_scheduled(connection, run_ids))

    async def _read(self, query: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T | None:
        if not (self._is_seen and self._proof.holds()):
            return None
        try:
            if self._reading is None or self._reading.closed:
                self._reading = await self._connect()
            await self._proof.check(self._reading)
            return await query(self._reading)
        except Exception as error:  # noqa: BLE001 - then they are read over the API
            if not isinstance(error, Unproven) and sqlstates.meaning_of(error) is not Meaning.AWAY:
                loops.record_of("worker.accelerator").failed(error)
            if sqlstates.wants_another_connection(error):
                await _close(self._reading)
        return None

    async def prove(self) -> None:
        """Returns where this Prefect may be written to, or nobody can tell now.

        Raises:
            Unproven: it may not.
            psycopg.ProgrammingError: nor can its address be read.
        """
        await self._proof.look()
        try:
            await self._proof.check(await self._connected())
        except psycopg.Error as error:
            if sqlstates.meaning_of(error) is not Meaning.AWAY:
                raise
            self._note(answers=False, why=error)

    async def close(self) -> None:
        """Posts the events that are left."""
        await self._proof.close()
        async with self._turn:
            await self._hang_up()
            await _close(self._reading)
        await self._outbox.close()

    # One batch.

    async def _tell(self, reports: Mapping[UUID, Sequence[Report]], told: set[UUID]) -> None:
        """Adds to `told` what is told, so that it is known even where it fails on the way."""
        rest = dict(reports)
        for seconds in (0, *PATIENCE_SECONDS):
            await asyncio.sleep(seconds)
            written, events = await self._commit_again_where_it_helps(rest)
            told |= written.told
            self._outbox.put(events)
            if written.changes and not self._is_seen:
                await self._see(*written.changes[-1])
            for run_id in written.met:
                del rest[run_id]
            if not rest:
                return

    async def _commit_again_where_it_helps(
        self, reports: Mapping[UUID, Sequence[Report]]
    ) -> tuple[Written, Sequence[Event]]:
        try:
            return await self._commit(reports)
        except psycopg.Error as error:
            if not self._is_worth_another(error):
                raise
            if sqlstates.wants_another_connection(error):
                await self._hang_up()
        # What was written all the same is known by its ids.
        return await self._commit(reports)

    async def _commit(self, reports: Mapping[UUID, Sequence[Report]]) -> tuple[Written, Sequence[Event]]:
        connection = await self._connected()
        async with connection.transaction():
            await self._proof.check(connection)
            written = await write(connection, reports)
            await self._facts.learn(connection, [after for _, after in written.changes])
            events = [event_of(before, after, self._facts.of(after)) for before, after in written.changes]
        return written, events

    def _is_worth_another(self, error: Exception) -> bool:
        if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure):
            return True
        return bool(self._connection and self._connection.closed) or sqlstates.wants_another_connection(error)

    async def _see(self, before: PrefectRun, after: PrefectRun) -> None:
        """Looks whether the server shows what was written: it could have another database than this one.

        Raises:
            OtherDatabase: it does not.
        """
        try:
            shown = await asyncio.wait_for(self._prefect.call("GET", f"/flow_runs/{after.id}"), SEE_SECONDS)
        except (PrefectUnavailable, PrefectRefused, TimeoutError):
            return
        if shown["state_id"] in map(str, before.state_ids):
            raise OtherDatabase(f"{PREFECT_DATABASE_URL} names another database than the Prefect server has")
        self._is_seen = shown["state_id"] == str(after.state_id)

    # The connection.

    async def _connected(self) -> "psycopg.AsyncConnection[Any]":
        if self._connection is None or self._connection.closed:
            await self._hang_up()
            self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> "psycopg.AsyncConnection[Any]":
        return await connections.connect_async(self._address, application_name="duetime-accelerator", limits=limits())

    async def _hang_up(self) -> None:
        connection, self._connection, self._is_seen = self._connection, None, False
        await _close(connection)

    def _note(self, *, answers: bool, why: object = None) -> None:
        if self._answers and not answers:
            log.warning("Prefect's database takes no reports: %s. Prefect is told over its API.", str(why).strip())
        elif answers and not self._answers:
            log.warning("Prefect's database takes reports again")
        self._answers = answers


async def _close(connection: "psycopg.AsyncConnection[Any] | None") -> None:
    if connection is not None:
        with contextlib.suppress(psycopg.Error, OSError):
            await connection.close()


def libpq_address(database_url: str) -> str:
    """The address without SQLAlchemy's driver. Pure.

    Raises:
        Unproven: it is not one of PostgreSQL.
    """
    scheme, _, rest = database_url.partition("://")
    if scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise Unproven(f"{PREFECT_DATABASE_URL} is not an address of PostgreSQL")
    return f"postgresql://{rest}"

"""Somebody has a transaction open, with locks on what the system needs."""

import random
from dataclasses import dataclass, field
from typing import ClassVar, Self

import psycopg

from db import partitions
from tests.faults.auditing import catalogue_url
from tests.faults.disturbances.disturbance import Disturbance, World

SECONDS = (8.0, 20.0)
TABLES = ("tasks", "due_times", "runs", "run_logs", "workers", "heartbeats")
CHAINS_LOCK = 0x63686E73  # as in db/chains.py


@dataclass
class OpenTransaction(Disturbance):
    """It has executed these statements and is idle."""

    statements: tuple[str, ...]
    _connection: psycopg.Connection | None = field(default=None, repr=False, compare=False)

    def begin(self, world: World) -> None:
        self._connection = psycopg.connect(catalogue_url(world.stage.system), connect_timeout=10)
        for statement in self.statements:
            self._connection.execute(statement.encode(), {"tasks": world.task_ids})

    def end(self, world: World) -> None:  # noqa: ARG002 - the connection is all there is
        if self._connection is not None:
            self._connection.close()

    @classmethod
    def on_a_table(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(*SECONDS), (f"LOCK TABLE {luck.choice(TABLES)} IN ACCESS EXCLUSIVE MODE",))


@dataclass
class LockedRows(OpenTransaction):
    """It has locked the rows of the trial's tasks."""

    spares_others: ClassVar[bool] = True

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        """Of tasks, of their due times, or of both."""
        tasks = "SELECT FROM tasks WHERE id = ANY(%(tasks)s::uuid[]) FOR UPDATE"
        due = "SELECT FROM due_times WHERE task_id = ANY(%(tasks)s::uuid[]) AND outcome = 'pending' FOR UPDATE"
        return cls(luck.uniform(*SECONDS), luck.choice([(tasks,), (due,), (tasks, due)]))


@dataclass
class OpenBeside(OpenTransaction):
    """A transaction that holds nothing that a start needs."""

    others_go_on: ClassVar[bool] = True

    @classmethod
    def with_advisory_locks(cls, luck: random.Random) -> Self:
        """Those that the system takes itself."""
        locks = (partitions.LOCK, CHAINS_LOCK)
        return cls(luck.uniform(*SECONDS), tuple(f"SELECT pg_advisory_xact_lock({lock})" for lock in locks))

    @classmethod
    def with_writes(cls, luck: random.Random) -> Self:
        """It has written, so that PostgreSQL keeps every event after it back."""
        return cls(luck.uniform(*SECONDS), ("CREATE TEMP TABLE mine AS SELECT count(*) FROM runs",))

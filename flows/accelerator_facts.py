"""What the events of runs say of that which the runs belong to: flows, deployments, work queues and work pools."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg

from flows.accelerator_runs import PrefectRun

KNOWN_SECONDS = 30.0

# What Prefect's models/events.py:_flow_run_related_resources_from_orm asks for, run by run.
READ = """
SELECT 'flow', id, name, tags, NULL::uuid, NULL, NULL FROM flow WHERE id = ANY(%(flow)s::uuid[])
UNION ALL
SELECT 'deployment', id, name, tags, NULL, NULL, NULL FROM deployment WHERE id = ANY(%(deployment)s::uuid[])
UNION ALL
SELECT 'work-queue', queue.id, queue.name, '[]'::jsonb, pool.id, pool.name, pool.type
  FROM work_queue AS queue LEFT JOIN work_pool AS pool ON pool.id = queue.work_pool_id
 WHERE queue.id = ANY(%(work-queue)s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a run belongs to, in a role: flow, deployment, work-queue, work-pool."""

    role: str
    id: UUID
    name: str
    tags: Sequence[str] = ()
    type: str | None = None
    """Of a work pool."""


class Facts:
    """What is known, for half a minute."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, UUID], Sequence[Fact]] = {}
        self._known_until = 0.0

    def of(self, run: PrefectRun) -> list[Fact]:
        """In the order in which Prefect tells of them."""
        return [fact for key in _keys(run) for fact in self._known.get(key, ())]

    async def learn(self, connection: psycopg.AsyncConnection[Any], runs: Iterable[PrefectRun]) -> None:
        """Reads what is not known of these runs, in one query."""
        if monotonic() > self._known_until:
            self._known.clear()
            self._known_until = monotonic() + KNOWN_SECONDS
        unknown = {key for run in runs for key in _keys(run)} - self._known.keys()
        if not unknown:
            return
        found: dict[tuple[str, UUID], Sequence[Fact]] = dict.fromkeys(unknown, ())
        ids = {noun: [id for of, id in unknown if of == noun] for noun in ("flow", "deployment", "work-queue")}
        for row in await (await connection.execute(READ, ids)).fetchall():
            found[row[0], row[1]] = _facts(*row)
        self._known |= found


def _keys(run: PrefectRun) -> list[tuple[str, UUID]]:
    of: Mapping[str, UUID | None] = {
        "flow": run.flow_id,
        "deployment": run.deployment_id,
        "work-queue": run.work_queue_id,
    }
    return [(noun, id) for noun, id in of.items() if id is not None]


def _facts(
    noun: str, id: UUID, name: str, tags: Sequence[str] | None, pool: UUID | None, pool_name: str, pool_type: str
) -> Sequence[Fact]:
    facts = [Fact(noun, id, name, tags or ())]
    return facts if pool is None else [*facts, Fact("work-pool", pool, pool_name, type=pool_type)]

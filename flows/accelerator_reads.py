"""What waits in Prefect for a worker, read from its own tables: its server spends a millisecond on each run listed."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from flows.prefect_server import Offered, PrefectServer

# As api/flow_runs.py:read_flow_runs reads what `PrefectServer.scheduled` asks for.
# The instant as text: one that Python cannot have spoils that run alone.
SCHEDULED = """
SELECT run.id, run.deployment_id, run.expected_start_time::text, run.idempotency_key, run.auto_scheduled,
       run.parameters, run.work_queue_id
  FROM flow_run AS run
  JOIN work_queue AS queue ON queue.id = run.work_queue_id
  JOIN work_pool AS pool ON pool.id = queue.work_pool_id
 WHERE run.state_type = 'SCHEDULED' AND run.next_scheduled_start_time <= %s AND run.deployment_id IS NOT NULL
   AND pool.name = %s AND (queue.name = ANY(%s) OR %s) AND run.id <> ALL(%s)
 ORDER BY run.next_scheduled_start_time
"""
COUNT = "SELECT count(*) FROM flow_run WHERE id = ANY(%s) AND state_type = 'SCHEDULED'"


async def scheduled(
    connection: psycopg.AsyncConnection[Any], prefect: PrefectServer, *, before: datetime, besides: Collection[UUID]
) -> list[Offered]:
    """The same as `PrefectServer.scheduled`."""
    values = (before, prefect.pool, prefect.queues, not prefect.queues, list(besides))
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(SCHEDULED, values)
        return prefect.readable(await cursor.fetchall())


async def count_scheduled(connection: psycopg.AsyncConnection[Any], run_ids: Collection[UUID]) -> int:
    """The same as `PrefectServer.count_scheduled`."""
    [(count,)] = await (await connection.execute(COUNT, [list(run_ids)])).fetchall()
    return int(count)

"""The loop of the yardstick: `python -m bench.peers.yardstick_program URL`.

    claim what is due with FOR UPDATE SKIP LOCKED, start each with create_subprocess_shell, note its end

It looks again at the next due time, or after a few milliseconds, whichever is first.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import psycopg

from bench.peers.requests import Request, requests
from bench.performing import perform_in_loop
from bench.work import Kind, Work

LOOK_SECONDS = 0.005
MOST_AT_ONCE = 50
NEVER_NOW_SECONDS = 30_000_000

TABLE = """
CREATE TABLE runs (
    id bigserial PRIMARY KEY, work jsonb NOT NULL, due_at float8 NOT NULL, claimed_at float8, ended_at float8
);
CREATE INDEX ON runs (due_at) WHERE claimed_at IS NULL
"""
CLAIM = """
UPDATE runs SET claimed_at = extract(epoch FROM clock_timestamp())
WHERE id IN (
    SELECT id FROM runs WHERE claimed_at IS NULL AND due_at <= %s ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
)
RETURNING id, work, due_at
"""
NEXT = "SELECT min(due_at) FROM runs WHERE claimed_at IS NULL"
END = "UPDATE runs SET ended_at = extract(epoch FROM clock_timestamp()) WHERE id = ANY(%s)"
ADD = "INSERT INTO runs (work, due_at) VALUES (%s, %s)"

Connection = psycopg.AsyncConnection[Any]


class Loop:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._going: set[asyncio.Task[None]] = set()
        self._ended: list[int] = []

    async def run(self) -> None:
        while True:
            claimed = await self._claim()
            await self._note_ends()
            if not claimed:
                await asyncio.sleep(await self._until_next())

    async def _claim(self) -> int:
        rows = await (await self._connection.execute(CLAIM, (time.time(), MOST_AT_ONCE))).fetchall()
        for run_id, work, due_at in rows:
            going = asyncio.create_task(self._perform(run_id, work, due_at))
            self._going.add(going)
            going.add_done_callback(self._going.discard)
        return len(rows)

    async def _perform(self, run_id: int, work: dict[str, str], due_at: float) -> None:
        await perform_in_loop(Work(work["task"], Kind(work["kind"]), work["pipe"], work["url"]), f"{due_at:.3f}")
        self._ended.append(run_id)

    async def _note_ends(self) -> None:
        if self._ended:
            ended, self._ended = self._ended, []
            await self._connection.execute(END, (ended,))

    async def _until_next(self) -> float:
        row = await (await self._connection.execute(NEXT)).fetchone()
        next_at = row[0] if row and row[0] is not None else float("inf")
        return max(0.0, min(LOOK_SECONDS, next_at - time.time()))


def rows(request: Request) -> list[tuple[Work, float]]:
    """The runs that a request asks for. Pure, but for the clock."""
    match request.verb:
        case "every_second":
            due = range(request.document["since"], request.document["until"])
            return [(work, float(second)) for second in due for work in request.works]
        case "together":
            return [(work, float(request.document["due"])) for work in request.works]
        case "run_now":
            return [(work, time.time()) for work in request.works]
        case "idle":
            nothing = Work("idle", Kind.SHELL, "/dev/null", "")
            return [(nothing, time.time() + NEVER_NOW_SECONDS)] * int(request.document["count"])
    return []


async def add(connection: Connection, made: Sequence[tuple[Work, float]]) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(ADD, [(json.dumps(asdict(work)), due_at) for work, due_at in made])


async def main(url: str) -> None:
    claims = await psycopg.AsyncConnection.connect(url, autocommit=True)
    adds = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await adds.execute(TABLE)
    looping = asyncio.create_task(Loop(claims).run())
    async for request in requests():
        await add(adds, rows(request))
        if looping.done():
            break
    looping.cancel()
    with suppress(asyncio.CancelledError):
        await looping


if __name__ == "__main__":
    if sys.version_info < (3, 12):
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())  # later versions do without a thread for each child
    asyncio.run(main(sys.argv[1]))

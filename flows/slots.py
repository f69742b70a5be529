"""Slots: how many runs a worker executes at once, given to whoever is first in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from heapq import heappop, heappush
from itertools import count
from typing import Any

from db import loops

Order = tuple[int, datetime]
"""The priority of the work queue, 1 before 2, and then the due time."""


class Slots:
    """So many at once; who waits is served by order, and among equals by arrival."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: list[tuple[Order, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a slot."""
        return any(not turn.done() for _, _, turn in self._waiting)

    @asynccontextmanager
    async def one(self, order: Order, *, unless: asyncio.Event | None = None) -> AsyncIterator[bool]:
        """A slot for as long as the block takes; False, without one, where the event was set before there was one."""
        is_taken = await self._take(order, unless)
        try:
            yield is_taken
        finally:
            if is_taken:
                self._give()

    async def _take(self, order: Order, unless: asyncio.Event | None) -> bool:
        if self._free > 0:
            self._free -= 1
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (order, next(self._arrivals), turn))
        stop = None if unless is None else loops.awaited("worker.slot", unless.wait())
        waited: list[asyncio.Future[Any]] = [turn] if stop is None else [turn, stop]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if not turn.cancel():
                self._give()
            raise
        finally:
            if stop is not None:
                stop.cancel()
        return not turn.cancel()

    def _give(self) -> None:
        while self._waiting:
            _, _, turn = heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

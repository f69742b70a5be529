"""What Prefect offers a worker, followed with few rows: a run is read once, and then only counted.

Prefect's server spends more than a millisecond on every run that it lists, and a burst is listed every second until its
time comes. A count of those that should still be there costs the same however many they are.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Protocol
from uuid import UUID

from db import loops
from flows.prefect_server import Offered, PrefectServer
from flows.records import now

LIMITS_SECONDS = 15.0
HELD_AT_MOST = 2000
"""With so many runs waiting in one worker, it looks for more when some of them have begun."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new, and what of that which waits is not scheduled any more."""

    new: list[Offered]
    gone: frozenset[UUID] = frozenset()


class Reads(Protocol):
    """A faster way to ask; None where the API is to be asked."""

    async def scheduled(self, *, before: datetime, besides: Collection[UUID] = ()) -> list[Offered] | None: ...

    async def count_scheduled(self, run_ids: Collection[UUID]) -> int | None: ...


class Offers:
    """The runs that Prefect holds as scheduled for a pool."""

    def __init__(self, prefect: PrefectServer, *, prefetch: timedelta) -> None:
        self._prefect, self._prefetch = prefect, prefetch
        self._limited, self._limits_read_at = False, float("-inf")
        self._showing: asyncio.Task[None] | None = None
        self.accelerator: Reads | None = None

    async def look(self, *, waiting: Collection[UUID], known: Collection[UUID], sure: Collection[UUID] = ()) -> Changes:
        """What changed. `waiting` are the runs in hand that are not begun, `known` all that need not be listed again.

        `sure` are those that wait and do not begin in this moment: they must still be there.

        Raises:
            PrefectUnavailable, PrefectRefused.
        """
        before = now() + self._prefetch
        if monotonic() - self._limits_read_at > LIMITS_SECONDS:
            self._limited = await self._prefect.has_limits()
            self._limits_read_at = monotonic()
            if self._showing is None or self._showing.done():
                # Once in a while this call is made in any case: by it the pool is shown as ready. No run waits for it.
                self._showing = loops.beside("worker.pool", self._prefect.show_as_ready(before=before))
        if self._limited:
            return _compared(await self._prefect.scheduled_within_limits(before=before), waiting)
        full = len(waiting) >= HELD_AT_MOST
        new = [] if full else await self._scheduled(before=before, besides=known)
        if not sure or await self._count_scheduled(sure) == len(sure):
            return Changes(new)
        return _compared(await self._scheduled(before=before), waiting)

    async def _scheduled(self, *, before: datetime, besides: Collection[UUID] = ()) -> list[Offered]:
        found = await self.accelerator.scheduled(before=before, besides=besides) if self.accelerator else None
        return await self._prefect.scheduled(before=before, besides=besides) if found is None else found

    async def _count_scheduled(self, run_ids: Collection[UUID]) -> int:
        count = await self.accelerator.count_scheduled(run_ids) if self.accelerator else None
        return await self._prefect.count_scheduled(run_ids) if count is None else count


def _compared(offered: list[Offered], waiting: Collection[UUID]) -> Changes:
    """All that is offered, against what waits. Pure."""
    return Changes(offered, frozenset(waiting) - {one.offer.run_id for one in offered})

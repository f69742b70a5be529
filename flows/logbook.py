"""What runs print, gathered and written several times a second: to the catalogue, and to Prefect behind it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import UUID

from db.errors import CatalogueUnavailable
from db.logs import Line
from db.states import Level, Stream
from flows.attempts import Output
from flows.prefect_server import PrefectAway, PrefectServer
from flows.records import Records, now

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.2
AT_ONCE = 5000
PREFECT_FLUSH_SECONDS = 1.0
PREFECT_AT_ONCE = 500
PREFECT_KEEPS_BYTES = 32_000_000
"""Of lines that wait for a Prefect server that is away; the oldest go first. The catalogue has them all."""
FULL_BYTES = 64_000_000
"""With so much waiting for PostgreSQL nothing more is read from what prints it, until some of it is written."""
PREFECT_LEVELS = {Level.DEBUG: 10, Level.INFO: 20, Level.WARNING: 30, Level.ERROR: 40}


class Logbook:
    """The lines of all runs of this worker, in the order in which they were printed."""

    def __init__(self, records: Records, prefect: PrefectServer) -> None:
        self._records, self._prefect = records, prefect
        self._waiting: list[Line] = []
        self._waiting_bytes = 0
        self._for_prefect: deque[Line] = deque()
        self._for_prefect_bytes = 0
        self._writing = asyncio.Lock()

    def output_of(self, run_id: UUID, *, to_prefect: bool) -> Output:
        """Where the attempts of a run write. A Prefect engine tells Prefect of its lines by itself."""
        return _Output(run_id, self._add if to_prefect else self._waiting_only, lambda: self.is_full)

    @property
    def is_full(self) -> bool:
        """Whether whoever writes should wait: PostgreSQL is away, or slower than what is printed."""
        return self._waiting_bytes >= FULL_BYTES

    def _add(self, line: Line) -> None:
        self._waiting_only(line)
        self._for_prefect.append(line)
        self._for_prefect_bytes += _size(line)
        while self._for_prefect_bytes > PREFECT_KEEPS_BYTES:
            self._for_prefect_bytes -= _size(self._for_prefect.popleft())

    def _waiting_only(self, line: Line) -> None:
        self._waiting.append(line)
        self._waiting_bytes += _size(line)

    async def flush(self) -> None:
        """Returns when every line that was added before is in the catalogue.

        Raises:
            CatalogueUnavailable: the lines wait for the next time.
        """
        async with self._writing:
            while self._waiting:
                batch = self._waiting[:AT_ONCE]
                await self._write(batch)
                del self._waiting[: len(batch)]
                self._waiting_bytes -= sum(map(_size, batch))

    async def _write(self, batch: list[Line]) -> None:
        try:
            await self._records.append(batch)
        except CatalogueUnavailable:
            raise
        except Exception:
            # Lines that PostgreSQL will never take must not keep runs from ending.
            log.exception("%d lines could not be written and are lost", len(batch))

    async def write_forever(self) -> None:
        """Writes to the catalogue, as long as it is not cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except CatalogueUnavailable:
                await asyncio.sleep(1)

    async def post_forever(self) -> None:
        """Posts to Prefect, as long as it is not cancelled."""
        while True:
            await asyncio.sleep(PREFECT_FLUSH_SECONDS)
            await self.post()

    async def post(self) -> None:
        """Posts what waits; what Prefect does not take now waits for the next time."""
        while self._for_prefect:
            batch = [self._for_prefect.popleft() for _ in range(min(PREFECT_AT_ONCE, len(self._for_prefect)))]
            self._for_prefect_bytes -= sum(map(_size, batch))
            try:
                await self._prefect.post_logs([_as_prefect_has_it(line) for line in batch])
            except PrefectAway:
                self._for_prefect.extendleft(reversed(batch))
                self._for_prefect_bytes += sum(map(_size, batch))
                return
            except Exception:
                log.exception("Prefect would not take %d lines of logs; the catalogue has them", len(batch))


def _size(line: Line) -> int:
    """Bytes in memory, roughly."""
    return 200 + len(line.message)


class _Output:
    def __init__(self, run_id: UUID, add: Callable[[Line], None], is_full: Callable[[], bool]) -> None:
        self._run_id, self._add, self._is_full = run_id, add, is_full

    @property
    def is_full(self) -> bool:
        return self._is_full()

    def write(self, message: str, *, stream: Stream, level: Level = Level.INFO) -> None:
        self._add(Line(self._run_id, now(), level, stream, message))


def _as_prefect_has_it(line: Line) -> dict[str, Any]:
    return {
        "name": f"duetime.{line.stream}",
        "level": PREFECT_LEVELS[line.level],
        "message": line.message,
        "timestamp": line.at.isoformat(),
        "flow_run_id": str(line.run_id),
    }

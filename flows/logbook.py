"""What runs print, gathered and written several times a second: to the catalogue, and to Prefect behind it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from db.errors import Unavailable
from db.logs import CUT, Line
from db.partitions import is_promised
from db.sqlstates import is_missing_partition
from db.states import Level, Stream
from db.texts import fit
from flows.attempts import Output
from flows.prefect_server import PrefectServer
from flows.queues import BatchQueue
from flows.records import Records, now

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.2
AT_ONCE = 5000
AT_ONCE_BYTES = 4_000_000
PREFECT_FLUSH_SECONDS = 1.0
PREFECT_AT_ONCE = 500
PREFECT_AT_ONCE_BYTES = 500_000
"""To write more of them as JSON would keep the event loop from starting runs."""
PREFECT_KEEPS_BYTES = 32_000_000
"""Of lines that wait for a Prefect server that is away; the oldest go first. The catalogue has them all."""
FULL_BYTES = 64_000_000
"""With so much waiting for PostgreSQL nothing more is read from what prints it, until some of it is written."""
PREFECT_LEVELS = {Level.DEBUG: 10, Level.INFO: 20, Level.WARNING: 30, Level.ERROR: 40}
UNSTORABLE = "A line that could not be stored: "


class NoMonthYet(Unavailable):
    """The reconciler has not made the table for this month yet."""


class Logbook:
    """The lines of all runs of this worker, in the order in which they were printed."""

    def __init__(self, records: Records, prefect: PrefectServer) -> None:
        self._records, self._prefect = records, prefect
        self._lines = BatchQueue(
            "worker.lines", self._append, at_most=AT_ONCE, set_aside=_instead_of, size=_size, most=AT_ONCE_BYTES
        )
        self._for_prefect = BatchQueue(
            "worker.lines to prefect",
            self._post,
            at_most=PREFECT_AT_ONCE,
            set_aside=_left_out,
            size=_size,
            most=PREFECT_AT_ONCE_BYTES,
        )

    def output_of(self, run_id: UUID, *, to_prefect: bool) -> Output:
        """Where the attempts of a run write. A Prefect engine tells Prefect of its lines by itself."""
        return _Output(run_id, self._add if to_prefect else self._add_here, lambda: self.is_full)

    @property
    def is_full(self) -> bool:
        """Whether whoever writes should wait: PostgreSQL is away, or slower than what is printed."""
        return self._lines.total >= FULL_BYTES

    def _add(self, line: Line) -> None:
        self._add_here(line)
        self._for_prefect.append(line)
        self._for_prefect.shorten(most=PREFECT_KEEPS_BYTES)

    def _add_here(self, line: Line) -> None:
        self._lines.append(line)

    async def flush(self) -> None:
        """Returns when every line that was added before is in the catalogue.

        Raises:
            CatalogueUnavailable, NoMonthYet, or what nobody foresaw: the lines wait for the next time.
        """
        await self._lines.empty()

    async def _append(self, lines: Sequence[Line]) -> None:
        try:
            await self._records.append(lines)
        except Exception as error:
            if is_missing_partition(error) and all(is_promised(line.at, now=now()) for line in lines):
                raise NoMonthYet(
                    "There is no table for the lines of this month, which the reconciler makes."
                ) from error
            raise

    async def post(self) -> None:
        """Posts what waits to Prefect.

        Raises:
            PrefectUnavailable: what is left waits for the next time.
        """
        await self._for_prefect.empty()

    async def _post(self, lines: Sequence[Line]) -> None:
        await self._prefect.post_logs([_as_prefect_has_it(line) for line in lines])


def _instead_of(line: Line, error: Exception) -> Line | None:
    """What is stored in the place of a line that PostgreSQL will never take."""
    if line.message.startswith(UNSTORABLE):
        return None
    said = UNSTORABLE + str(error).partition("\n")[0]
    return replace(line, at=now(), level=Level.WARNING, stream=Stream.SYSTEM, message=fit(said, at_most=500))


def _left_out(line: Line, error: Exception) -> None:
    log.warning("Prefect will not take a line of run %s; the catalogue has it: %s", line.run_id, error)


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
        self._add(Line(self._run_id, now(), level, stream, fit(message, cut=CUT)))


def _as_prefect_has_it(line: Line) -> dict[str, Any]:
    return {
        "name": f"duetime.{line.stream}",
        "level": PREFECT_LEVELS[line.level],
        "message": line.message,
        "timestamp": line.at.isoformat(),
        "flow_run_id": str(line.run_id),
    }

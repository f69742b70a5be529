"""The end of a run on its way to the catalogue and to Prefect: whatever it is, and whatever goes wrong meanwhile."""

from dataclasses import replace
from typing import Any

from db import loops
from db.claims import Claimant, Claimed
from db.errors import CatalogueUnavailable
from db.finishes import Finish
from db.runs import Ending
from db.sqlstates import Meaning
from flows.attempts import Result
from flows.logbook import Logbook
from flows.meanings import meaning_of
from flows.records import Records, now
from flows.telling import Teller

LOOP = "worker.ends"
UNSTORABLE = "How it ended could not be stored ({}). The end of its log may tell more."


class ClaimIsVoid(Exception):
    """The worker was declared lost meanwhile: somebody else has decided about the run."""


class End:
    """How one run ended, from the moment that it is known."""

    def __init__(
        self, claimed: Claimed, claimant: Claimant, *, records: Records, logbook: Logbook, teller: Teller
    ) -> None:
        self._claimed, self._claimant = claimed, claimant
        self._records, self._logbook, self._teller = records, logbook, teller
        self._finish: Finish | None = None
        self._told_prefect = False

    def came(self, result: Result) -> None:
        """The run has ended now."""
        ending = Ending(result.state, now(), exit_code=result.exit_code, error=result.error)
        self._finish = Finish(self._claimed.key, self._claimed.task_id, self._claimant.id, ending)
        self._told_prefect = result.told_prefect

    async def note(self) -> None:
        """Returns when the end is noted, or when that takes something that is not foreseen: see `note_at_last`.

        Raises:
            ClaimIsVoid: the run is not this worker's any more.
        """
        if self._finish is None:
            return
        await self._flush_lines()
        try:
            mine = await loops.insist(LOOP, self._noted, on=CatalogueUnavailable)
        except Exception as error:  # noqa: BLE001 - the run keeps its end, and its slot is free meanwhile
            loops.record_of(LOOP).failed(error)
        else:
            await self._close(mine=mine)

    async def note_at_last(self) -> None:
        """Tries until the end is noted, if it is not, for as long as this worker lives.

        Raises:
            ClaimIsVoid: the run is not this worker's any more.
        """
        if self._finish is not None:
            await self._close(mine=await loops.insist(LOOP, self._noted))

    async def _flush_lines(self) -> None:
        """Lines that wait for something else than PostgreSQL keep no run from its end: they follow."""
        try:
            await loops.insist("worker.lines", self._logbook.flush, on=CatalogueUnavailable)
        except Exception as error:  # noqa: BLE001 - the logbook keeps them
            loops.record_of("worker.lines").failed(error)

    async def _noted(self) -> bool:
        finish: Any = self._finish
        try:
            return await self._records.finish(finish)
        except Exception as error:
            if meaning_of(error) is not Meaning.REFUSED:
                raise
            loops.record_of(LOOP).failed(error)
            plain = Ending(finish.ending.state, now(), error=UNSTORABLE.format(type(error).__name__))
            self._finish = replace(finish, ending=plain)
        return await self._records.finish(self._finish)

    async def _close(self, *, mine: bool) -> None:
        finish: Any = self._finish
        self._finish = None
        if not mine:
            raise ClaimIsVoid
        if not self._told_prefect:
            self._teller.tell(finish.key, finish.ending.state, finish.ending.error or "", at=finish.ending.ended_at)
            return
        try:
            await self._records.mark_reported(finish.key, finish.ending.state)
        except Exception as error:  # noqa: BLE001 - then Prefect is told a second time
            loops.record_of("worker.reported").failed(error)

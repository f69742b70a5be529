"""How often the loops of each part have failed, gathered from all processes for whoever watches them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import loops
from db.engine import Catalogue
from db.tables import LoopFailure

REPORT_SECONDS = 10.0


def add(session: Session, part: str, failed: Mapping[str, tuple[int, str]], *, now: datetime) -> None:
    """Adds to the counts: of each loop how many steps failed more, and the last error."""
    for loop, (count, last_error) in sorted(failed.items()):
        new = insert(LoopFailure).values(part=part, loop=loop, failures=count, last_error=last_error, last_at=now)
        more = {"failures": LoopFailure.failures + new.excluded.failures, "last_error": last_error, "last_at": now}
        session.execute(new.on_conflict_do_update(index_elements=["part", "loop"], set_=more))


def all_of(session: Session) -> Sequence[LoopFailure]:
    """Every loop in which a step has failed since the catalogue was made."""
    return session.scalars(select(LoopFailure).order_by(LoopFailure.part, LoopFailure.loop)).all()


class Reporter:
    """Writes down what failed in this process; what cannot be written yet is written with the next."""

    def __init__(self, catalogue: Catalogue, part: str) -> None:
        self._catalogue, self._part = catalogue, part
        self._failed: dict[str, tuple[int, str]] = {}
        self._loop = loops.ThreadLoop("loop failures", self.report, pause_seconds=REPORT_SECONDS)

    def start(self) -> "Reporter":
        self._loop.start()
        return self

    def stop(self) -> None:
        self._loop.stop()

    def report(self) -> None:
        """Writes what failed since the last time, if anything did."""
        for loop, (count, last_error) in loops.take_unreported().items():
            self._failed[loop] = (self._failed.get(loop, (0, ""))[0] + count, last_error)
        if self._failed:
            with self._catalogue.transaction() as session:
                add(session, self._part, self._failed, now=datetime.now(UTC))
            self._failed = {}

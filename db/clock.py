"""A machine's clock, checked against PostgreSQL's, which all machines share.

Between two comparisons time goes on by the machine's monotonic counter, so that a clock that is set cannot make a due
time come early, or seem to have passed, in the midst of anything.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from db.engine import database_now

TRUSTED_WITHIN = timedelta(seconds=1)
"""A machine's clock is taken as right, and as finer than a comparison, when it differs by less."""


def _wall() -> datetime:
    return datetime.now(UTC)


class Clock:
    """The present instant, for one process. Until the first comparison it is what the machine says."""

    def __init__(self, *, wall: Callable[[], datetime] = _wall, counter: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._counter = wall, counter
        self._anchor: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """The present instant."""
        if self._anchor is None:
            return self._wall()
        instant, counted = self._anchor
        return instant + timedelta(seconds=self._counter() - counted)

    def compare(self, session: Session) -> timedelta:
        """Asks PostgreSQL, and returns by how much the present instant was put right."""
        before = self.now()
        theirs, counted, ours = database_now(session), self._counter(), self._wall()
        self._anchor = (ours if abs(ours - theirs) < TRUSTED_WITHIN else theirs, counted)
        return self._anchor[0] - before

"""Following the runs in Prefect: due times get theirs, what happened to them there is noted here."""

from dataclasses import dataclass, field
from datetime import timedelta

from db import heartbeats
from db.engine import Catalogue
from reconciler import due_times, runs
from reconciler.aside import Asides
from reconciler.clock import now
from reconciler.lease import Lease
from reconciler.prefect import Prefect
from reconciler.sight import Sight

ENDED_WITHIN = timedelta(seconds=90)


@dataclass(slots=True)
class Following:
    """What was seen is remembered for as long as this process leads."""

    catalogue: Catalogue
    prefect: Prefect
    lease: Lease
    asides: Asides
    _sight: Sight = field(init=False)
    _term: int = -1

    def follow(self) -> None:
        """Looks once."""
        if self._term != self.lease.term:
            self._sight, self._term = Sight(self.catalogue, self.prefect), self.lease.term
        scheduled = self._sight.upcoming(now=now())
        with self.catalogue.transaction() as session:
            heartbeats.beat(session, heartbeats.PREFECT, now=now())
        due_times.serve(self.catalogue, self.prefect, scheduled, self.asides.of("due times"), now=now())
        due_times.clear(self.catalogue, self.prefect, scheduled, now=now())
        recent = self._sight.recent(since=now() - ENDED_WITHIN)
        runs.observe(self.catalogue, [*scheduled, *recent], self.asides.of("runs in Prefect"), now=now())

"""Runs that were asked for: waited for a moment, until the reconciler has made them."""

import time
from contextlib import suppress
from threading import BoundedSemaphore
from uuid import UUID

from dashboard.context import now
from db import run_requests, waiting
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.tables import Run

PATIENCE_SECONDS = 2.0
LOOK_SECONDS = (0.02, 0.03, 0.05, 0.1)
"""How long to wait before each look, the last one again and again: the reconciler needs about 50 ms."""
WAITING_AT_MOST = 8
"""So many requests wait at once; the others, of which there are only many while Prefect is away, are answered first."""


class RequestedRuns:
    """Finds the run that was made of a request, or, while Prefect is away, shows the request as that run."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._seats = BoundedSemaphore(WAITING_AT_MOST)

    def what_holds_up(self, run: Run) -> str | None:
        """What the run waits for, as far as PostgreSQL answers."""
        with suppress(CatalogueUnavailable), self._catalogue.transaction() as session:
            return waiting.of_run(session, run, now=now())
        return None

    def wait_for(self, request_id: UUID) -> Run:
        """The run, or what stands for it after two seconds; its id is good everywhere.

        Raises:
            RunNotFound: the request was removed.
            CatalogueUnavailable: PostgreSQL does not answer the first question.
        """
        run = self._look(request_id)
        if self._is_made(run, request_id) or not self._seats.acquire(blocking=False):
            return run
        try:
            return self._wait(request_id, run)
        except CatalogueUnavailable:
            return run
        finally:
            self._seats.release()

    def _wait(self, request_id: UUID, run: Run) -> Run:
        deadline, looks = time.monotonic() + PATIENCE_SECONDS, 0
        while not self._is_made(run, request_id) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS[min(looks, len(LOOK_SECONDS) - 1)])
            looks += 1
            run = self._look(request_id)
        return run

    def _look(self, request_id: UUID) -> Run:
        with self._catalogue.transaction() as session:
            return run_requests.run_of(session, request_id) or run_requests.as_waiting_run(session, request_id)

    def _is_made(self, run: Run, request_id: UUID) -> bool:
        return run.id != request_id

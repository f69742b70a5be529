"""The witness is heard every minute; what it says is noted, and told to a watch outside."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from db import heartbeats, witness, workers
from db.engine import Catalogue
from db.errors import Unavailable
from db.witness import Verdict
from reconciler.clock import now
from reconciler.deadlines import within
from reconciler.transport import with_deadlines

log = logging.getLogger(__name__)

WINDOW = timedelta(hours=1)
FRESH = timedelta(seconds=60)
SHOWN = 10
"""Discrepancies that are noted; `duetime audit` prints them all."""
DEAD_MAN_URL = "DUETIME_DEAD_MAN_URL"
PING_SECONDS = 10.0


class WatchIsAway(Unavailable):
    """Who is told that all is well does not answer."""


@dataclass(slots=True)
class Auditor:
    """Hears the witness, and tells the watch when all is well."""

    catalogue: Catalogue
    ping_url: str | None

    def audit(self) -> None:
        """Raises:
        CatalogueUnavailable, WatchIsAway.
        """
        if audit(self.catalogue, now=now()) and self.ping_url is not None:
            _tell(self.ping_url)


def _tell(url: str) -> None:
    try:
        with (
            within(PING_SECONDS),
            with_deadlines(httpx.Client(timeout=PING_SECONDS)) as http,
            http.stream("GET", url) as answer,  # what is answered is not read
        ):
            answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise WatchIsAway(f"{DEAD_MAN_URL} does not answer, so it may raise an alarm: {error}") from error


def audit(catalogue: Catalogue, *, now: datetime) -> bool:
    """Audits the last hour and notes what it finds; whether all is well, Prefect and a worker included."""
    with catalogue.snapshot() as session:
        verdict = witness.audit(session, from_at=now - WINDOW, to_at=now, now=now)
    for found in verdict.discrepancies:
        log.error("Not accounted for: %s, due at %s: %s", found.task_name, found.due_at.isoformat(), found.what)
    with catalogue.transaction() as session:
        heartbeats.beat(session, heartbeats.AUDIT, now=now, details=_noted(verdict))
        prefect = heartbeats.last(session, heartbeats.PREFECT)
        answers = prefect is not None and now - prefect.at < FRESH
        return answers and not verdict.discrepancies and bool(workers.present(session, now=now))


def _noted(verdict: Verdict) -> dict[str, Any]:
    return {
        "from": verdict.from_at.isoformat(),
        "to": verdict.to_at.isoformat(),
        "due_times": verdict.due_times,
        "accounted": verdict.accounted,
        "waiting": verdict.waiting,
        "discrepancy_count": len(verdict.discrepancies),
        "discrepancies": [
            {
                "task_id": str(found.task_id),
                "task_name": found.task_name,
                "due_at": found.due_at.isoformat(),
                "what": found.what,
            }
            for found in verdict.discrepancies[:SHOWN]
        ],
    }

"""The witness is heard every minute, beside the passes; what it says is noted, and told to a watch outside."""

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from db import heartbeats, witness, workers
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.witness import Verdict
from reconciler.clock import now

log = logging.getLogger(__name__)

WINDOW = timedelta(hours=1)
FRESH = timedelta(seconds=60)
SHOWN = 10
"""Discrepancies that are noted; `duetime audit` prints them all."""
DEAD_MAN_URL = "DUETIME_DEAD_MAN_URL"
PING_TIMEOUT_SECONDS = 10.0


@dataclass(slots=True)
class Auditor:
    """Hears the witness in a thread of its own, because due times do not wait for it."""

    catalogue: Catalogue
    ping_url: str | None = field(default_factory=lambda: os.environ.get(DEAD_MAN_URL) or None)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="audit"))
    _going_on: "Future[None] | None" = None

    def audit_beside(self) -> None:
        """Returns at once; nothing is begun while the last one goes on."""
        if self._going_on is None or self._going_on.done():
            self._going_on = self._threads.submit(self._audit_and_tell)

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    def _audit_and_tell(self) -> None:
        try:
            if audit(self.catalogue, now=now()) and self.ping_url is not None:
                httpx.get(self.ping_url, timeout=PING_TIMEOUT_SECONDS).raise_for_status()
        except CatalogueUnavailable as error:
            log.warning("The ledger could not be audited: %s", error)
        except httpx.HTTPError as error:
            log.warning("%s does not answer, so it may raise an alarm: %s", self.ping_url, error)
        except Exception:
            log.exception("The audit of the ledger failed; the next one tries again")


def audit(catalogue: Catalogue, *, now: datetime) -> bool:
    """Audits the last hour and notes what it finds; whether all is well, Prefect and a worker included."""
    with catalogue.transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
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

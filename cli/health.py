"""`python -m cli.health worker|reconciler`: whether that part lives and works, for the health checks of containers.

The exit code is 0 or 1. What the catalogue was told is believed, because a process may be there and do nothing.
"""

import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psutil
from sqlalchemy.orm import Session

from db import heartbeats, workers
from db.engine import Catalogue, database_url_from_environment
from db.errors import CatalogueUnavailable

RECONCILER_SILENT_AFTER = timedelta(seconds=30)


def worker_is_well(session: Session, *, now: datetime, host: str, host_started_at: datetime) -> bool:
    """Whether a worker of this host was heard of lately, not counting those from before the host was restarted."""
    return any(
        worker.host == host and worker.started_at >= host_started_at for worker in workers.present(session, now=now)
    )


def reconciler_is_well(session: Session, *, now: datetime) -> bool:
    """Whether a reconciler, on whatever host, did its work lately."""
    last = heartbeats.last(session, heartbeats.RECONCILER)
    return last is not None and last.at > now - RECONCILER_SILENT_AFTER


def _worker_here(session: Session) -> bool:
    started_at = datetime.fromtimestamp(psutil.Process(1).create_time(), UTC)
    return worker_is_well(session, now=datetime.now(UTC), host=socket.gethostname(), host_started_at=started_at)


def _reconciler_anywhere(session: Session) -> bool:
    return reconciler_is_well(session, now=datetime.now(UTC))


CHECKS: dict[str, Callable[[Session], bool]] = {"worker": _worker_here, "reconciler": _reconciler_anywhere}


def main() -> int:
    """0: it is well; 1: it is not, or PostgreSQL does not answer; 2: the question is not understood."""
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        print(f"Usage: python -m cli.health {'|'.join(CHECKS)}", file=sys.stderr)
        return 2
    catalogue = Catalogue(database_url_from_environment(), pool_size=1, application_name="duetime-health")
    try:
        with catalogue.transaction() as session:
            well = CHECKS[sys.argv[1]](session)
    except CatalogueUnavailable as error:
        print(error)
        return 1
    print("well" if well else f"The {sys.argv[1]} was not heard of lately.")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m cli.arrivals <instant>`: ends when Prefect, the reconciler and a worker were heard of since then.

After a kill the catalogue believes for some seconds that the dead are well, and so does /readyz; a start must not.
"""

import sys
import time
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from db import heartbeats, workers
from db.engine import Catalogue, database_url_from_environment
from db.errors import CatalogueUnavailable

POLL_SECONDS = 0.3


def everybody_is_here(session: Session, *, since: datetime, now: datetime) -> bool:
    """Whether each of them gave a sign of life in this time."""
    beats = [heartbeats.last(session, part) for part in (heartbeats.PREFECT, heartbeats.RECONCILER)]
    heard = all(beat is not None and beat.at >= since for beat in beats)
    return heard and any(worker.heartbeat_at >= since for worker in workers.present(session, now=now))


def main(since: datetime) -> int:
    """0, as soon as it is so."""
    catalogue = Catalogue(database_url_from_environment(), pool_size=1, application_name="duetime-arrivals")
    while not _look(catalogue, since):
        time.sleep(POLL_SECONDS)
    return 0


def _look(catalogue: Catalogue, since: datetime) -> bool:
    try:
        with catalogue.transaction() as session:
            return everybody_is_here(session, since=since, now=datetime.now(UTC))
    except CatalogueUnavailable:
        return False


if __name__ == "__main__":
    sys.exit(main(datetime.fromisoformat(sys.argv[1])))

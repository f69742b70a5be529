"""Housekeeping: a Prefect flow that has removed what is older than people want to keep. Deployed by prefect.yaml."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from prefect import flow, get_run_logger

from db import retention
from db.engine import Catalogue, database_url_from_environment
from db.tables import HousekeepingRequest

PATIENCE_SECONDS = 600.0
LOOK_SECONDS = 0.5


@flow(name="housekeeping")
def housekeeping(
    keep_runs_days: int = 365, keep_logs_days: int = 90, keep_due_times_days: int = 365, keep_trash_days: int = 30
) -> dict[str, int]:
    """Has the months dropped that ended before so many days ago, and tasks that were in the trash for longer.

    The reconciler does it, if a task of the catalogue keeps things for so long. Prefect keeps its own runs; its server
    removes old ones when `PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED` says so. Raises RuntimeError where that is
    refused, where nobody does it within ten minutes, and where DUETIME_DATABASE_URL is not set.
    """
    days = {
        "runs": keep_runs_days,
        "logs": keep_logs_days,
        "due_times": keep_due_times_days,
        "trash": keep_trash_days,
    }
    log = get_run_logger()
    catalogue = Catalogue(database_url_from_environment(), pool_size=1, application_name="duetime-housekeeping")
    try:
        done = _ask(catalogue, days)
    finally:
        catalogue.close()
    if done.removed is None:
        raise RuntimeError(done.refused)
    for what, count in done.removed.items():
        log.info("Removed %s: %d", what, count)
    return done.removed


def _ask(catalogue: Catalogue, days: Mapping[str, float]) -> HousekeepingRequest:
    with catalogue.transaction() as session:
        asked = retention.request(session, days, now=datetime.now(UTC))
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with catalogue.transaction() as session:
            answer = retention.answer(session, asked)
        if answer is not None:
            return answer
        time.sleep(LOOK_SECONDS)
    raise RuntimeError("The reconciler did not do it within ten minutes. Is it there? `duetime up` or its container.")

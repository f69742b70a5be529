"""Housekeeping: a Prefect flow that removes what is older than people want to keep. Deployed by prefect.yaml."""

from datetime import UTC, datetime, timedelta

from prefect import flow, get_run_logger

from db import retention
from db.engine import Catalogue, database_url_from_environment


@flow(name="housekeeping")
def housekeeping(
    keep_runs_days: int = 365, keep_logs_days: int = 90, keep_due_times_days: int = 365, keep_trash_days: int = 30
) -> dict[str, int]:
    """Drops the months that ended before so many days ago, and tasks that were in the trash for longer.

    Prefect keeps its own runs; its server removes old ones when `PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED` says so.
    Raises RuntimeError where DUETIME_DATABASE_URL is not set.
    """
    log = get_run_logger()
    now = datetime.now(UTC)
    catalogue = Catalogue(database_url_from_environment(), pool_size=1, application_name="duetime-housekeeping")
    kept = retention.Kept(
        runs=timedelta(days=keep_runs_days),
        logs=timedelta(days=keep_logs_days),
        due_times=timedelta(days=keep_due_times_days),
        trash=timedelta(days=keep_trash_days),
    )
    with catalogue.transaction() as session:
        removed = retention.apply(session, kept, now=now)
    catalogue.close()
    for what, count in removed.items():
        log.info("Removed %s: %d", what, count)
    return removed

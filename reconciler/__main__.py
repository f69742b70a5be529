"""`python -m reconciler`: keeps the catalogue and Prefect in agreement until it is told to stop."""

import logging
import os
import signal
import sys

from db import journal
from db.engine import Catalogue, database_url_from_environment
from reconciler.auditing import DEAD_MAN_URL
from reconciler.loop import Reconciler
from reconciler.prefect import Prefect

CONNECTIONS = 12
"""Passes that write at the same moment; one that finds none waits for three seconds, and tries again."""
STOPS = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """Runs until SIGTERM or SIGINT; exit code 2 where an address is not set."""
    journal.keep()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Threads inherit it, so that signals are for the wait below alone.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        url, prefect = database_url_from_environment(), Prefect.from_environment()
    except RuntimeError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the terminal is where it was started
        return 2
    catalogue = Catalogue(url, pool_size=CONNECTIONS, application_name="duetime-reconciler")
    reconciler = Reconciler(catalogue, prefect, os.environ.get(DEAD_MAN_URL) or None)
    reconciler.start()
    signal.sigwait(STOPS)
    reconciler.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

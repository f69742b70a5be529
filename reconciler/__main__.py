"""`python -m reconciler`: keeps the catalogue and Prefect in agreement until it is told to stop."""

import logging
import signal
import sys

from db import journal
from db.engine import Catalogue, database_url_from_environment
from reconciler.auditing import Auditor
from reconciler.loop import Reconciler
from reconciler.prefect import Prefect


def main() -> int:
    """Runs until SIGTERM or SIGINT; exit code 2 where an address is not set."""
    journal.keep()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        catalogue = Catalogue(database_url_from_environment(), pool_size=4, application_name="duetime-reconciler")
        reconciler = Reconciler(catalogue, Prefect.from_environment(), Auditor(catalogue))
    except RuntimeError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the terminal is where it was started
        return 2
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: reconciler.stop())
    reconciler.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Housekeeping, done beside the passes: whoever drops months may have to wait for those who read them."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from db import retention
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from reconciler.clock import now

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Housekeeper:
    """Removes what is asked for, in a thread of its own, because due times do not wait for it."""

    catalogue: Catalogue
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="housekeeping")
    )
    _going_on: "Future[None] | None" = None

    def look_beside(self) -> None:
        """Returns at once; nothing is begun while the last one goes on."""
        if self._going_on is None or self._going_on.done():
            self._going_on = self._threads.submit(self._fulfil_all)

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    def _fulfil_all(self) -> None:
        try:
            while True:
                with self.catalogue.transaction() as session:
                    if not retention.fulfil(session, now=now()):
                        return
        except CatalogueUnavailable as error:
            log.warning("What is too old could not be removed: %s", error)
        except Exception:
            log.exception("Housekeeping failed; the next one tries again")

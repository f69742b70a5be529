"""Whether this worker's claims succeed, as its heartbeat tells."""

from datetime import datetime, timedelta

from db.errors import CatalogueUnavailable
from db.workers import Failing

RECENT = timedelta(seconds=15)
"""A claim that fails is made again within seconds: a failure that is older is over, and nothing has been due since."""


class ClaimHealth:
    """What became of the last claims."""

    def __init__(self) -> None:
        self._failing: Failing | None = None
        self._failed_at: datetime | None = None

    def succeeded(self) -> None:
        """PostgreSQL took a claim, whatever it answered."""
        self._failing = None

    def failed(self, error: Exception, *, now: datetime) -> None:
        """PostgreSQL did not take it."""
        # Everybody may see it, so nothing of what was claimed is in it.
        why = error.reason if isinstance(error, CatalogueUnavailable) else f"{type(error).__name__}, see its log"
        since = now if self.failing(now=now) is None or self._failing is None else self._failing.since
        self._failing, self._failed_at = Failing(since, why), now

    def failing(self, *, now: datetime) -> Failing | None:
        """Since when no claim has succeeded; None where the last one did, or none was made lately."""
        is_over = self._failed_at is None or now - self._failed_at > RECENT
        return None if is_over else self._failing

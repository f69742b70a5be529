"""What a worker's heartbeat says of its claims."""

from datetime import UTC, datetime, timedelta

from db.errors import CatalogueUnavailable
from db.workers import Failing
from flows.claim_health import RECENT, ClaimHealth

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_claims_fail_since_the_first_one_that_failed_until_one_succeeds() -> None:
    health = ClaimHealth()
    assert health.failing(now=NOW) is None
    health.failed(CatalogueUnavailable("PostgreSQL has no disk space left"), now=NOW)
    health.failed(KeyError("x"), now=NOW + SECOND)
    assert health.failing(now=NOW + SECOND) == Failing(NOW, "KeyError, see its log")
    health.succeeded()
    assert health.failing(now=NOW + SECOND) is None
    health.failed(CatalogueUnavailable("PostgreSQL has no disk space left"), now=NOW + 2 * SECOND)
    assert health.failing(now=NOW + 2 * SECOND) == Failing(NOW + 2 * SECOND, "PostgreSQL has no disk space left")


def test_a_failure_that_nobody_tried_again_is_over() -> None:
    health = ClaimHealth()
    health.failed(CatalogueUnavailable(), now=NOW)
    later = NOW + RECENT + SECOND
    assert health.failing(now=later) is None
    health.failed(CatalogueUnavailable(), now=later)
    assert health.failing(now=later) == Failing(later, "PostgreSQL does not answer")

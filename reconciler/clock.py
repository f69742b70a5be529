"""The reconciler's clock: each pass reads it here."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant."""
    return datetime.now(UTC)

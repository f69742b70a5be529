"""The live log of a campaign."""

import sys
from datetime import UTC, datetime


def say(text: str) -> None:
    """A line with the time of day."""
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stdout.flush()

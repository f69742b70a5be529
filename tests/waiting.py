"""Waiting for what is going to be true, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import text

from db.engine import Catalogue

T = TypeVar("T")

_UNSETTLED = text("SELECT count(*) FROM events WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint")


def wait_until(look: Callable[[], T], description: str, *, seconds: float = 60, every: float = 0.1) -> T:
    """What `look` answers once it answers something true; fails with the description when it never does."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {description} (the last answer was {found!r})"
        time.sleep(every)


def until_told(catalogue: Catalogue) -> None:
    """Until every event so far may be told: other tests of the same PostgreSQL have transactions under way."""

    def is_settled() -> bool:
        with catalogue.transaction() as session:
            return bool(session.scalar(_UNSETTLED) == 0)

    wait_until(is_settled, "older transactions to end", seconds=120)

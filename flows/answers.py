"""Sorts what Prefect answers, and what its errors and PostgreSQL's mean: wait, leave one item out, or mend the code."""

import json
from typing import Any

from db import sqlstates
from db.errors import Unavailable
from db.sqlstates import Meaning

AWAY_STATUSES = frozenset({401, 403, 407, 408, 425, 429})
"""Besides those from 500 on. Credentials may be on their way, as with PostgreSQL: nothing is dropped for them."""
SHOWN = 200
"""The characters of an answer that are shown to people."""


class PrefectAway(Unavailable):
    """The Prefect server does not answer, cannot do it now, or somebody else answers in its place."""

    def __init__(self, message: str, *, answered: bool = False) -> None:
        """`answered` is whether it spoke at all: then what it was asked may be the reason."""
        super().__init__(message)
        self.answered = answered


class PrefectRefused(Exception):
    """The Prefect server will never do what it was asked; other requests go on."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def read_answer(status: int, content: bytes) -> Any:
    """The document that Prefect answers, None where there is none. Pure.

    Raises:
        PrefectAway, PrefectRefused.
    """
    if status in AWAY_STATUSES or status >= 500:
        raise PrefectAway(f"The Prefect server answers {status}: {_shown(content)}", answered=status >= 500)
    try:
        document = json.loads(content) if content else None
    except (ValueError, RecursionError):
        # A proxy, a login page, or a server that was cut off in the middle: whatever its status says.
        raise PrefectAway(
            f"What answers at the Prefect server's address is not Prefect ({status}: {_shown(content)})", answered=True
        ) from None
    if 400 <= status < 500:
        raise PrefectRefused(f"The Prefect server refuses it ({status}: {_shown(content)})", status=status)
    if not 200 <= status < 300:
        raise PrefectAway(f"The Prefect server answers {status}", answered=True)
    return document


def meaning_of(error: BaseException) -> Meaning:
    """What an error means for whoever made the call to PostgreSQL or Prefect. Pure."""
    if isinstance(error, Unavailable):
        return Meaning.AWAY
    return Meaning.REFUSED if isinstance(error, PrefectRefused) else sqlstates.meaning_of(error)


def _shown(content: bytes) -> str:
    return content[:SHOWN].decode("utf-8", "replace").strip()

"""Keyset paging: a page of rows and the cursor that continues after its last."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from db.errors import BadCursor

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, in order, and where the next page begins; None at the end."""

    items: Sequence[Row]
    next_cursor: str | None


def encode_cursor(*keys: str) -> str:
    """The keys of the last row as one opaque word."""
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *, keys: int) -> list[str]:
    """What `encode_cursor` was given.

    Raises:
        BadCursor: it was made by nobody here.
    """
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        raise BadCursor from None
    if not isinstance(found, list) or len(found) != keys or not all(_is_text(key) for key in found):
        raise BadCursor
    return found


def _is_text(key: object) -> bool:
    """Whether PostgreSQL could hold it: names have no control characters, so neither has a cursor."""
    return isinstance(key, str) and key.isprintable()

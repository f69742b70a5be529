"""JSON with the numbers that every part of the system can carry."""

import json
from typing import Any

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""The integers that Prefect can write, in 64 bits."""
MOST_DIGITS = 32
"""Python reads no integer of more than 4,300 digits."""


def read_json(document: str | bytes) -> Any:
    """What is written there. PostgreSQL and Prefect write 1e20 with all its digits: integers beyond 64 bits were none.

    Raises:
        ValueError, RecursionError: it is no JSON, or is nested too deeply.
    """
    return json.loads(document, parse_int=_number)


def _number(digits: str) -> int | float:
    number = int(digits) if len(digits) < MOST_DIGITS else LARGEST + 1
    return number if SMALLEST <= number <= LARGEST else float(digits)

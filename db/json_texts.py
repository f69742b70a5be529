"""JSON with the numbers that every part of the system can carry."""

import json
from decimal import Decimal
from math import isinf
from typing import Any

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""The integers that Prefect can write, in 64 bits."""


def read_json(document: str | bytes) -> Any:
    """What is written there. PostgreSQL and Prefect write 1e20 with all its digits, and it is no integer for that.

    Raises:
        ValueError, RecursionError: it is no JSON, or is nested too deeply.
    """
    return json.loads(document, parse_int=_number)


def _number(digits: str) -> int | float:
    number = float(digits)
    if SMALLEST <= number <= LARGEST and SMALLEST <= int(digits) <= LARGEST:
        return int(digits)
    if isinf(number):
        return LARGEST + 1  # as too large as any: Python reads no integer of more than 4,300 digits
    return number if Decimal(repr(number)) == Decimal(digits) else int(digits)

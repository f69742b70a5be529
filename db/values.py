"""The values that fields of a task are made of, each with its limits."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from db.json_texts import LARGEST, SMALLEST

MAX_NAME = 200
MAX_JSON = 256 * 1024
MAX_SECONDS = 366 * 24 * 3600
MAX_DEPTH = 200
"""Of JSON: Prefect writes no more than 254 levels, of which some are its own."""


def _printable(value: str) -> str:
    """One line, not blank, without control or invisible formatting characters."""
    value = value.strip()
    if not value:
        raise PydanticCustomError("blank", "Must not be blank.")
    if not value.isprintable():
        raise PydanticCustomError(
            "not_printable", "Use printable characters only: no line breaks or control characters."
        )
    return value


def without_nul(value: str) -> str:
    """PostgreSQL and exec(3) both end a text at NUL."""
    if "\0" in value:
        raise PydanticCustomError("nul", "Must not contain the NUL character.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("surrogate", "Must be valid Unicode text.") from None
    return value


def within_json_size(value: Any) -> Any:
    """JSON that every part of the system can carry: as large, as deep, with such numbers and texts."""
    _check_carried(value)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(text.encode()) > MAX_JSON:
        raise PydanticCustomError("too_long", "Must not be larger than 256 KiB as JSON.")
    return value


def _check_carried(value: Any) -> None:
    """Level by level, because a value may be nested more deeply than functions may call each other."""
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise PydanticCustomError(
                "too_deep", "Must not be nested more than {levels} levels deep.", {"levels": MAX_DEPTH}
            )
        for one in level:
            _check_scalar(one)
        level, depth = [inner for one in level for inner in _within(one)], depth + 1


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return (*value, *value.values())
    return value if isinstance(value, list | tuple) else ()


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        without_nul(value)
    elif isinstance(value, int) and not SMALLEST <= value <= LARGEST:
        raise PydanticCustomError("too_large", "Integers must fit into 64 bits: write larger ones as text.")
    elif isinstance(value, float) and not isfinite(value):
        raise PydanticCustomError("not_finite", "Numbers must be finite.")


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(without_nul), AfterValidator(_printable)]
Tag = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(without_nul), AfterValidator(_printable)]
Text = Annotated[str, AfterValidator(without_nul)]
JsonObject = Annotated[dict[Text, JsonValue], AfterValidator(within_json_size)]
Seconds = Annotated[int, Field(ge=0, le=MAX_SECONDS)]


def _in_postgres_range(value: datetime) -> datetime:
    if not 1971 <= value.year <= 9000:
        raise PydanticCustomError("out_of_range", "Use a year from 1971 to 9000.")
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_in_postgres_range)]


class Strict(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

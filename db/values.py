"""The values that fields of a task are made of, each with its limits."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

MAX_NAME = 200
MAX_JSON = 256 * 1024
MAX_SECONDS = 366 * 24 * 3600

_ESCAPED_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")


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
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (ValueError, RecursionError):
        raise PydanticCustomError("json", "Must be JSON: finite numbers, valid text, not nested deeply.") from None
    if size > MAX_JSON:
        raise PydanticCustomError("too_long", "Must not be larger than 256 KiB as JSON.")
    if _ESCAPED_NUL.search(text):
        raise PydanticCustomError("nul", "Must not contain the NUL character.")
    return value


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

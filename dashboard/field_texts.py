"""Values that a form holds as text: variables, headers, JSON, codes. Each is written and read here. Pure.

What reads raises ValueError with a sentence for the reader.
"""

import json
from collections.abc import Iterator
from typing import Any

from dashboard.api.bodies import parse_json
from db.specs import InvalidTask


def env_text(env: dict[str, str]) -> str:
    """A line for each variable. A value that a line could not hold is written in quotes, as JSON."""
    return "\n".join(f"{name}={value if _fits_a_line(value) else json.dumps(value)}" for name, value in env.items())


def _fits_a_line(value: str) -> bool:
    return value.isprintable() and value == value.strip() and not value.startswith('"')


def read_env(text: str) -> dict[str, str]:
    """The variables of such lines."""
    found: dict[str, str] = {}
    for number, line in lines(text):
        name, sign, value = line.partition("=")
        if not sign:
            raise ValueError(f"Line {number} has no equals sign. Write NAME=value.")
        _add(found, name.strip(), _unquoted(value.strip(), number), number)
    return found


def _unquoted(value: str, number: int) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        raise ValueError(f'Line {number} has quotes that do not match. Write NAME="value", or no quotes.') from None


def headers_text(headers: dict[str, str]) -> str:
    """A line for each header."""
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def read_headers(text: str) -> dict[str, str]:
    """The headers of such lines."""
    found: dict[str, str] = {}
    for number, line in lines(text):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"Line {number} has no colon. Write Name: value.")
        _add(found, name.strip(), value.strip(), number)
    return found


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Those that are not blank, each with its number."""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if line.strip():
            yield number, line


def _add(found: dict[str, str], name: str, value: str, number: int) -> None:
    if name in found:
        raise ValueError(f"Line {number} gives {name} a second time.")
    found[name] = value


def json_text(value: Any) -> str:
    """JSON to be read and edited by people."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def read_json(text: str) -> Any:
    """Its value."""
    try:
        return parse_json(text.encode())
    except UnicodeEncodeError:
        raise ValueError("Must be valid Unicode text.") from None
    except InvalidTask as error:
        first = error.errors[0]
        raise ValueError(first.message if first.field == "body" else f"{first.field}: {first.message}") from None


def read_object(text: str) -> Any:
    """The value of JSON that should be an object; nothing at all means an empty one."""
    value = read_json(text) if text.strip() else {}
    if not isinstance(value, dict):
        raise ValueError('Must be a JSON object, such as {"day": "today"}.')
    return value


def codes_text(codes: list[int]) -> str:
    """`0, 3`"""
    return ", ".join(map(str, codes))


def read_codes(text: str) -> list[int]:
    """The numbers of such a text."""
    words = text.replace(",", " ").split()
    if not words or not all(word.isascii() and word.isdigit() and len(word) <= 3 for word in words):
        raise ValueError("Write numbers from 0 to 255, such as 0, 3.")
    return [int(word) for word in words]

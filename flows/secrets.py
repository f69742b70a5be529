"""Secrets in an action: found by `${secret:NAME}`, put in place just before an attempt, masked in all that it says."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import ValidationError

from db.actions import ShellAction
from db.states import Level, Stream
from flows.attempts import Action, Output

MASK = "***"
VARIABLE = "DUETIME_SECRET_{}"
"""As which a shell command gets a secret: in its text, others could read it by ps(1)."""
_NAMED = re.compile(r"\$\{secret:([A-Za-z_][A-Za-z0-9_]{0,99})\}")


class DoesNotFit(Exception):
    """With its secrets in place the action is none; the message does not tell them."""


def names_in(action: Action) -> frozenset[str]:
    """The secrets that the action names. Pure."""
    return frozenset(_NAMED.findall(json.dumps(action.model_dump(mode="json", by_alias=True), ensure_ascii=False)))


def in_place(action: Action, values: Mapping[str, str]) -> Action:
    """The action as it is to be performed. Pure.

    Raises:
        DoesNotFit: with these values a field is not valid.
    """
    if not values:
        return action
    document = action.model_dump(mode="json", by_alias=True)
    if isinstance(action, ShellAction):
        rest = {name: each for name, each in document.items() if name != "command"}
        document = {"command": _as_variables(action.command), **replaced(rest, values)}
        document["env"] |= {VARIABLE.format(name): values[name] for name in _NAMED.findall(action.command)}
    else:
        document = replaced(document, values)
    try:
        return type(action).model_validate(document)
    except ValidationError as error:
        fields = ", ".join(sorted({str(each["loc"][0]) for each in error.errors() if each["loc"]})) or "the action"
        raise DoesNotFit(f"With its secrets in place, {fields} is not valid. Look at their values.") from None


def _as_variables(command: str) -> str:
    """Where the shell puts the values in by itself, as it does with every variable."""
    return _NAMED.sub(lambda match: "${" + VARIABLE.format(match[1]) + "}", command)


def replaced(value: Any, values: Mapping[str, str]) -> Any:
    """A document with the values where it names them. Pure."""
    if isinstance(value, str):
        return _NAMED.sub(lambda match: values[match[1]], value)
    if isinstance(value, list):
        return [replaced(each, values) for each in value]
    if isinstance(value, dict):
        return {replaced(name, values): replaced(each, values) for name, each in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Mask:
    """Hides values, also as they look in a URL, in JSON or in Python's own words. Lines of a value are hidden, too."""

    pattern: "re.Pattern[str] | None" = None

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Mask":
        found = {form for value in values.values() for each in _parts(value) for form in _forms(each)}
        longest_first = sorted(found, key=lambda form: (-len(form), form))
        return cls(re.compile("|".join(map(re.escape, longest_first))) if longest_first else None)

    def __call__(self, said: str) -> str:
        return said if self.pattern is None else self.pattern.sub(MASK, said)


def _parts(value: str) -> set[str]:
    """What is printed of it at once: all of it, or a line."""
    return {value, *(line for each in value.splitlines() if len(line := each.strip()) >= 4)}


def _forms(value: str) -> set[str]:
    return {value, quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1]}


@dataclass(frozen=True, slots=True)
class MaskedOutput:
    """An attempt's output in which nobody reads what is hidden."""

    output: Output
    mask: Mask

    @property
    def is_full(self) -> bool:
        return self.output.is_full

    def write(self, message: str, *, stream: Stream, level: Level = Level.INFO) -> None:
        self.output.write(self.mask(message), stream=stream, level=level)

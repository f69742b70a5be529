"""Secrets in an action: found by `${secret:NAME}`, put in place just before an attempt, masked in all that it says."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from db.actions import ShellAction
from db.states import Level, Stream
from flows.attempts import Action, Output
from flows.masks import Mask

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
class MaskedOutput:
    """An attempt's output in which nobody reads what is hidden."""

    output: Output
    mask: Mask

    @property
    def is_full(self) -> bool:
        return self.output.is_full

    def write(self, message: str, *, stream: Stream, level: Level = Level.INFO) -> None:
        self.output.write(self.mask(message), stream=stream, level=level)

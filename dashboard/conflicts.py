"""Two people changed the same task: what each did to each field, and the task that comes of it. Pure.

`base` is the document that both started from, `theirs` what is saved now, `mine` what I wrote. A field is a member of
the document or of its action; what makes sense together only is one field: a schedule, the body of a request in its
two forms, and the whole action where its kind was changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Document = Mapping[str, Any]
ACTION = "action"
BODY = ("body", "json")


class Side(StrEnum):
    """Whose value it is."""

    THEIRS = "theirs"
    MINE = "mine"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not the same in theirs and mine."""

    field: str
    base: Any
    theirs: Any
    mine: Any

    @property
    def changed_by_both(self) -> bool:
        """Whether somebody has to choose: the one value cannot be kept without losing the other."""
        return self.base not in (self.theirs, self.mine)

    @property
    def suggested(self) -> Side:
        """The side that changed it; mine where both did."""
        return Side.THEIRS if self.mine == self.base else Side.MINE


def differences(*, base: Document, theirs: Document, mine: Document) -> list[Difference]:
    """The fields that differ, in the order of the document."""
    same_kind = base["kind"] == theirs["kind"] == mine["kind"]
    bases, their, my = (_fields(document, same_kind=same_kind) for document in (base, theirs, mine))
    return [
        Difference(name, bases.get(name), their.get(name), my.get(name))
        for name in dict.fromkeys([*my, *their])
        if my.get(name) != their.get(name)
    ]


def merge(theirs: Document, differing: list[Difference], choices: Mapping[str, Side]) -> dict[str, Any]:
    """Theirs, with mine wherever that is chosen; what was not chosen is as suggested."""
    merged = {**theirs, ACTION: dict(theirs[ACTION])}
    for difference in differing:
        if choices.get(difference.field, difference.suggested) is Side.MINE:
            _put(merged, difference.field, difference.mine)
    return merged


def _fields(document: Document, *, same_kind: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name == ACTION and same_kind:
            found |= {f"{ACTION}.{part}": inner for part, inner in value.items() if part not in BODY}
            found |= {f"{ACTION}.body": {part: value[part] for part in BODY}} if "body" in value else {}
        elif name == ACTION:
            found[ACTION] = {"kind": document["kind"], ACTION: value}
        elif name != "kind":
            found[name] = value
    return found


def _put(document: dict[str, Any], field: str, value: Any) -> None:
    if field == ACTION:
        document |= value
    elif field == f"{ACTION}.body":
        document[ACTION] |= value
    elif field.startswith(f"{ACTION}."):
        document[ACTION][field.removeprefix(f"{ACTION}.")] = value
    else:
        document[field] = value

"""Tracebacks as they are logged: never with the values of variables, and of a bounded size, whatever was raised."""

import traceback
from collections.abc import Callable, Iterator
from types import TracebackType

FRAMES = 15
"""Of the last ones, of each exception."""
CAUSES = 5
INNER, DEPTH = 3, 2
"""Exceptions of a group that are shown, and groups within groups."""
CHARACTERS = 8_000
MESSAGE = 2_000
BECAUSE = "\nThe cause of that:\n\n"
MEANWHILE = "\nRaised while this was handled:\n\n"


Clean = Callable[[str], str]
"""Takes from the text of an exception what nobody is to read, before the text is cut."""


def bounded(error: BaseException, clean: Clean = str) -> str:
    """The exception with where it was raised and its causes, the last first."""
    return shortened("".join(_chain(error, clean)).rstrip(), CHARACTERS)


def _chain(error: BaseException, clean: Clean) -> Iterator[str]:
    cause: BaseException | None = error
    seen = set[int]()
    while cause is not None and id(cause) not in seen and len(seen) < CAUSES:
        seen.add(id(cause))
        yield from _one(cause, clean)
        explicit, implicit = cause.__cause__, None if cause.__suppress_context__ else cause.__context__
        cause = explicit or implicit
        if cause is not None:
            yield BECAUSE if explicit else MEANWHILE


def _one(error: BaseException, clean: Clean, depth: int = 0) -> Iterator[str]:
    if error.__traceback__ is not None:
        yield "Traceback (the last of its calls):\n"
        yield from _calls(error.__traceback__)
    yield f"{message(error, clean)}\n"
    if isinstance(error, BaseExceptionGroup) and depth < DEPTH:
        for number, inner in enumerate(error.exceptions[:INNER], start=1):
            yield f"\n{number} of the {len(error.exceptions)} in it:\n\n"
            yield from _one(inner, clean, depth + 1)


def _calls(trace: TracebackType) -> Iterator[str]:
    """As Python shows them, without marks under the lines: to place them it parses, which may fail beside threads."""
    try:
        frames = traceback.extract_tb(trace, limit=-FRAMES)
    except Exception as unreadable:  # noqa: BLE001 - a source is read by whatever loaded it
        yield f"  (where it was raised cannot be told: {type(unreadable).__name__})\n"
        return
    for frame in frames:
        line = f"    {frame.line}\n" if frame.line else ""
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n{line}'


def message(error: BaseException, clean: Clean = str) -> str:
    """The name of the exception and what it says."""
    # `traceback` would look into all exceptions of a group, whose number may be astronomical.
    kind = type(error)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    name = f"{module}{kind.__qualname__}"
    said, notes = _text_of(error), [_text_of(note) for note in getattr(error, "__notes__", ())[:INNER]]
    return shortened(clean("\n".join([f"{name}: {said}" if said else name, *notes])), MESSAGE)


def _text_of(one: object) -> str:
    try:
        return str(one)
    except BaseException as unsayable:  # noqa: BLE001 - whatever its own code raises
        return f"(its text cannot be made: {type(unsayable).__name__})"


def shortened(text: str, length: int) -> str:
    """The beginning and the end of a text that is longer."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]}\n… ({len(text) - length:,} characters) …\n{text[len(text) - length // 2 :]}"

"""What the child of a Python task does: imports the function, calls it, and says what came of it."""

import asyncio
import contextlib
import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from db import tracebacks
from flows.masks import Mask

MAX_RETURNED = 2000
FIRST_LINES, LAST_LINES = 50, 150
"""Of a traceback; the lines between them are counted. Deep recursion through several functions prints thousands."""
MAX_TRACEBACK = 100_000


def main(request: dict[str, Any], report: TextIO) -> int:
    """The exit code; the report gets a line of JSON with `returned` or `error`. SystemExit passes through."""
    mask = Mask.of(request["secrets"])
    try:
        returned = find(request["callable"])(**request["kwargs"])
        if inspect.isawaitable(returned):
            returned = asyncio.run(_awaited(returned))
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the function raises is its failure
        report.write(json.dumps({"error": tracebacks.message(error, mask)}) + "\n")
        with contextlib.suppress(BaseException):
            sys.stderr.write(_traceback(error))
        return 1
    if returned is not None:
        report.write(json.dumps({"returned": _shown(returned, mask)}) + "\n")
    return 0


def find(path: str) -> Callable[..., Any]:
    """The function that `package.module:name` means.

    Raises ImportError, AttributeError, TypeError when it means none, and whatever the module raises.
    """
    module_name, _, names = path.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in names.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{path} is a {type(found).__name__}, which cannot be called.")
    return found  # type: ignore[no-any-return]


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _shown(value: Any, mask: Mask) -> str:
    try:
        text = mask(repr(value))
    except BaseException as error:  # noqa: BLE001 - how a result looks does not change that there is one
        return f"a {type(value).__name__} whose repr() raises {type(error).__name__}"
    return text if len(text) <= MAX_RETURNED else f"{text[:MAX_RETURNED]}… ({len(text)} characters)"


def _traceback(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        # Python's own would look into all exceptions of a group, whose number may be astronomical.
        return f"{tracebacks.bounded(error)}\n"
    try:
        said = "".join(traceback.format_exception(type(error), error, _without_own_frames(error)))
    except Exception:  # noqa: BLE001 - it looks at the source, and at whatever was raised
        return f"{tracebacks.bounded(error)}\n"
    lines = said.splitlines()
    left_out = len(lines) - FIRST_LINES - LAST_LINES
    if left_out > 0:
        lines[FIRST_LINES:-LAST_LINES] = [f"  ... {left_out} lines are left out ..."]
    return tracebacks.shortened("\n".join(lines), MAX_TRACEBACK) + "\n"


def _without_own_frames(error: BaseException) -> Any:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace

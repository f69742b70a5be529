"""What the child of a Python task does: imports the function, calls it, and says what came of it."""

import asyncio
import importlib
import inspect
import json
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from db import tracebacks
from flows.masks import Mask

MAX_RETURNED = 2000


def main(request: dict[str, Any], report: TextIO) -> int:
    """The exit code; the report gets a line of JSON with `returned` or `error`. SystemExit passes through."""
    mask = Mask.of(request["secrets"])
    try:
        returned = find(request["callable"])(**request["kwargs"])
        if inspect.isawaitable(returned):
            returned = asyncio.run(_awaited(returned))
        if returned is not None:
            report.write(json.dumps({"returned": _shown(returned, mask)}) + "\n")
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the function raises is its failure
        traceback.print_exception(type(error), error, _without_own_frames(error))
        report.write(json.dumps({"error": tracebacks.message(error, mask)}) + "\n")
        return 1
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
    text = mask(repr(value))
    return text if len(text) <= MAX_RETURNED else f"{text[:MAX_RETURNED]}… ({len(text)} characters)"


def _without_own_frames(error: BaseException) -> Any:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace

"""The journal: what the processes of the system say of themselves, an event a line, with run and task where known.

`DUETIME_LOG_FORMAT=json` makes each line a JSON object, for whoever gathers logs; otherwise it is for people to read.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from db import tracebacks

FORMAT = "DUETIME_LOG_FORMAT"
JSON = "json"


def keep(*, level: int = logging.INFO, loggers: Sequence[str] = ("",)) -> None:
    """From now on, what is logged is written to stderr so: by everybody, or by these loggers and those below them."""
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(as_json=os.environ.get(FORMAT, "").lower() == JSON))
    for name in loggers:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


@contextmanager
def about(**known: object) -> Iterator[None]:
    """What is logged within the block, by whomever, says this as well."""
    with structlog.contextvars.bound_contextvars(**{name: str(value) for name, value in known.items()}):
        yield


def _formatter(*, as_json: bool) -> structlog.stdlib.ProcessorFormatter:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_traceback),
        _shortened,
    ]
    # Its own way to show an exception would show the values of variables, secrets among them.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    last: Processor = structlog.processors.JSONRenderer() if as_json else plain
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
    )


def _traceback(exc_info: ExcInfo) -> str:
    return tracebacks.bounded(exc_info[1])


def _shortened(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {**event, "event": tracebacks.shortened(str(event.get("event", "")), tracebacks.CHARACTERS)}

"""What became of the steps of each loop in this process, and how it ends where one cannot go on."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import NoReturn

from db.errors import Unavailable

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
SAID_AGAIN_SECONDS = 60.0
"""So often a failure of a kind is logged; the others are counted."""
NO_SUCH_TABLE = frozenset({"42P01", "42703"})
OUTDATED = "The catalogue has no tables, or older ones than this program. Apply the migrations: duetime migrate"
CANNOT_GO_ON = 70
"""The exit code then: an internal error, as in sysexits.h."""
_LOCK = threading.Lock()


@dataclass(slots=True)
class Record:
    """What became of the steps of one loop in this process."""

    name: str
    failures: int = 0
    unreported: int = 0
    last_error: str = ""
    in_a_row: int = 0
    steps: int = 0
    _said: dict[str, float] = field(default_factory=dict)
    _was_told: bool = False
    """Whether anything was logged of the failures in a row."""

    def failed(self, error: BaseException) -> float:
        """Notes it; the seconds after which to try again."""
        self.failures += 1
        self.unreported += 1
        self.in_a_row += 1
        self.last_error = _kind(error)
        with suppress(Exception):  # a log that cannot be written ends no loop
            self._say(error)
        return min(FIRST_PAUSE_SECONDS * 2.0 ** min(self.in_a_row - 1, 10), LONGEST_PAUSE_SECONDS)

    def went_well(self) -> None:
        """Notes that a step came to its end."""
        self.steps += 1
        self.recovered()

    def recovered(self) -> None:
        """Notes that what failed does not any more."""
        if self._was_told:
            with suppress(Exception):
                log.warning("%s goes on, after %d failures", self.name, self.in_a_row)
        self.in_a_row, self._was_told = 0, False

    def _say(self, error: BaseException) -> None:
        if _state_of(error) in NO_SUCH_TABLE:
            # As something that is away: the same for all loops, and mended elsewhere.
            if _is_news(_AWAY, OUTDATED):
                log.warning(
                    "%s waits: %s (%s)", self.name, OUTDATED, str(getattr(error, "orig", error)).partition("\n")[0]
                )
                self._was_told = True
        elif isinstance(error, Unavailable):
            # Whatever is away is away for all loops of the process: it is said once.
            if _is_news(_AWAY, str(error)):
                log.warning("%s waits: %s", self.name, f"{error} ({error.details})" if error.details else error)
                self._was_told = True
        elif _is_news(self._said, _kind(error)):
            log.error("%s failed and is tried again (%d in a row)", self.name, self.in_a_row, exc_info=error)
            self._was_told = True


_AWAY: dict[str, float] = {}


def _is_news(said: dict[str, float], what: str) -> bool:
    """Whether it was not said lately; it is now."""
    present = monotonic()
    with _LOCK:
        if present - said.get(what, float("-inf")) < SAID_AGAIN_SECONDS:
            return False
        for known in [known for known, at in said.items() if present - at >= SAID_AGAIN_SECONDS]:
            del said[known]
        said[what] = present
    return True


_RECORDS: dict[str, Record] = {}
before_step: Callable[[str], None] | None = None
"""Called with a loop's name before each of its steps: tests raise here what nobody thought of."""


def record_of(name: str) -> Record:
    """The record of a loop, made when it is first asked for."""
    with _LOCK:
        return _RECORDS.setdefault(name, Record(name))


def failures() -> dict[str, int]:
    """How many steps of each loop of this process have failed."""
    return {name: record.failures for name, record in tuple(_RECORDS.items())}


def take_unreported() -> dict[str, tuple[int, str]]:
    """How many failed since this was asked last, and the last error, of each loop in which any did."""
    taken = {}
    for name, record in tuple(_RECORDS.items()):
        if count := record.unreported:
            record.unreported -= count
            taken[name] = (count, record.last_error)
    return taken


def end_process(why: str) -> NoReturn:
    """Ends this process at once: something in it cannot go on, and a fresh one can."""
    try:
        log.critical("%s This process ends, to be started again.", why)
        for handler in logging.getLogger().handlers:
            handler.flush()
        sys.stderr.flush()
    finally:
        os._exit(CANNOT_GO_ON)


def _kind(error: BaseException) -> str:
    """What failures are told apart by: the exception, its SQLSTATE, and where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    state = _state_of(error)
    return f"{type(error).__name__}{f' {state}' if state else ''}{where}"


def _state_of(error: BaseException) -> str | None:
    """What PostgreSQL calls it, if it comes from there."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state if isinstance(state, str) else None

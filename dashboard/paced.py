"""Reads that cost something, shared by all readers, and made the more seldom the longer they take."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from threading import Lock, Thread
from time import monotonic
from typing import Generic, TypeVar

from db import loops

T = TypeVar("T")

MOST_OF_A_CORE = 0.05
"""No more of the time than this is spent on reading."""
FRESH_SECONDS = 15.0
"""A hint may be lost: an answer that is older is read again anyway."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What was read, and after how many seconds it is worth asking again: 0 where nothing has changed since."""

    value: T
    again_in_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Read(Generic[T]):
    value: T
    token: Hashable
    at: float
    took_seconds: float


class Paced(Generic[T]):
    """Keeps the last answer until something has changed and the read is affordable again.

    The token is another one after each change of what is read. What is cheap is so read at each change; what took a
    tenth of a second, every two seconds at most, and nothing is left unread for longer than `pause_at_most_seconds`.
    With `keeps_nobody_waiting`, whoever comes when it is to be read again gets the last answer, and it is read beside.
    """

    def __init__(
        self,
        read: Callable[[], T],
        *,
        pause_at_most_seconds: float = 2.0,
        keeps_nobody_waiting: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._read, self._clock = read, clock
        self._at_most, self._beside = pause_at_most_seconds, keeps_nobody_waiting
        self._reader: Thread | None = None
        self._lock = Lock()
        self._last: _Read[T] | None = None

    def get(self, token: Hashable) -> Answer[T]:
        """The answer; whoever comes while it is being read waits for it."""
        last = self._last
        if self._beside and last is not None:
            if self._is_due(last, token) and (self._reader is None or not self._reader.is_alive()):
                self._reader = loops.thread("paced", partial(self._renew, token))
            return Answer(last.value, 0.0 if last.token == token else max(self._affordable_in(last), last.took_seconds))
        last = self._renew(token)
        return Answer(last.value, 0.0 if last.token == token else self._affordable_in(last))

    def forget(self) -> None:
        """Whoever comes next has it read anew: a reader who changed something wants to see it."""
        with self._lock:
            self._last = None

    def _renew(self, token: Hashable) -> _Read[T]:
        with self._lock:
            last = self._last
            if last is None or self._is_due(last, token):
                began = self._clock()
                value = self._read()
                ended = self._clock()
                self._last = last = _Read(value, token, ended, ended - began)
            return last

    def _is_due(self, last: _Read[T], token: Hashable) -> bool:
        is_old = last.token != token or self._clock() - last.at >= FRESH_SECONDS
        return is_old and self._affordable_in(last) <= 0

    def _affordable_in(self, last: _Read[T]) -> float:
        return last.at + min(last.took_seconds / MOST_OF_A_CORE, self._at_most) - self._clock()

"""A look that takes as long as it takes, made once for all who ask, and answered within a bound."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from db import loops

T = TypeVar("T")

WITHIN_SECONDS = 1.7
AT_MOST_EVERY_SECONDS = 1.0
KEPT_SECONDS = 15.0
"""While a look takes longer than the bound, an answer that is not older holds: one slow second changes nothing."""


@dataclass(frozen=True, slots=True)
class _Seen(Generic[T]):
    value: T
    at: float


class Bounded(Generic[T]):
    """For one event loop. While a look is being made, everybody waits for that one."""

    def __init__(self, look: Callable[[], T], otherwise: Callable[[float], T]) -> None:
        """`otherwise` is answered after a look that took too many seconds, unless the last answer still holds."""
        self._look, self._otherwise = look, otherwise
        self._looking: Future[T] | None = None
        self._began_at = 0.0
        self._seen: _Seen[T] | None = None

    async def answer(self) -> T:
        """What was seen within the last second, or is seen within the bound."""
        if self._seen is not None and monotonic() - self._seen.at < AT_MOST_EVERY_SECONDS:
            return self._seen.value
        looking = self._looking if self._looking is not None and not self._looking.done() else self._begin()
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                return await asyncio.shield(asyncio.wrap_future(looking))
        except TimeoutError:
            if self._seen is not None and monotonic() - self._seen.at < KEPT_SECONDS:
                return self._seen.value
            return self._otherwise(monotonic() - self._began_at)

    def _begin(self) -> "Future[T]":
        self._looking, self._began_at = Future(), monotonic()
        looking = self._looking

        def look() -> None:
            try:
                value = self._look()
            except BaseException as error:
                looking.set_exception(error)
                raise
            self._seen = _Seen(value, monotonic())
            looking.set_result(value)

        try:
            loops.thread("health", look)
        except RuntimeError as error:  # there can be no more threads for now
            looking.set_exception(error)
        return looking

"""Group commit: calls that come while one is under way are made together by the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from db import loops
from db.errors import CatalogueUnavailable, Unavailable
from db.sqlstates import waited_too_long

T = TypeVar("T")
R = TypeVar("R")
Batch = Sequence[tuple[T, "asyncio.Future[R]"]]


class Grouped(Generic[T, R]):
    """One call for many items; a single one goes at once. Each caller gets the answer, or the error, of its item."""

    def __init__(self, name: str, together: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, at_most: int) -> None:
        self._name, self._together, self._at_most = name, together, at_most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """What `together` answers for this item. Raises what it raises."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        self._work_on()
        return await answer

    def _work_on(self) -> None:
        if self._waiting and (self._working is None or self._working.done()):
            self._working = loops.beside(self._name, self._work())
            # Also where it was cancelled: who waits gets an answer.
            self._working.add_done_callback(lambda _: self._work_on())

    async def _work(self) -> None:
        while batch := self._next_batch():
            try:
                await self._answer(batch)
            finally:
                _refuse(batch, CatalogueUnavailable("The call was interrupted"))  # those that have no answer

    def _next_batch(self) -> "Batch[T, R]":
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._at_most:
            item, answer = self._waiting.popleft()
            if not answer.done():  # whoever was cancelled does not want it any more
                batch.append((item, answer))
        return batch

    async def _answer(self, batch: "Batch[T, R]") -> None:
        """Answers all of them. A batch that fails is halved until the item to blame is alone: it gets the error."""
        try:
            results = await self._together([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers get it
            if len(batch) == 1 or (isinstance(error, Unavailable) and not waited_too_long(error)):
                _refuse(batch, error)
                return
            half = len(batch) // 2
            await self._answer(batch[:half])
            await self._answer(batch[half:])
        else:
            for (_, answer), result in zip(batch, results, strict=True):
                if not answer.done():
                    answer.set_result(result)


def _refuse(batch: "Batch[T, R]", error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)

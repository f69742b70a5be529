"""Group commit: calls that come while one is under way are made together by the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from db.errors import CatalogueUnavailable

T = TypeVar("T")
R = TypeVar("R")


class Grouped(Generic[T, R]):
    """One call for many items; a single one goes at once. Each caller gets the answer, or the error, of its item."""

    def __init__(self, together: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, at_most: int) -> None:
        self._together, self._at_most = together, at_most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """What `together` answers for this item. Raises what it raises."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while batch := self._next_batch():
            try:
                await self._answer(batch)
            except CatalogueUnavailable as error:
                _refuse(batch, error)
            except Exception:  # noqa: BLE001 - each caller gets its own
                # What PostgreSQL will never take of one must not keep the others waiting.
                for one in batch:
                    await self._answer_alone(one)

    def _next_batch(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._at_most:
            item, answer = self._waiting.popleft()
            if not answer.done():  # whoever was cancelled does not want it any more
                batch.append((item, answer))
        return batch

    async def _answer(self, batch: Sequence[tuple[T, "asyncio.Future[R]"]]) -> None:
        for (_, answer), result in zip(batch, await self._together([item for item, _ in batch]), strict=True):
            if not answer.done():
                answer.set_result(result)

    async def _answer_alone(self, one: tuple[T, "asyncio.Future[R]"]) -> None:
        try:
            await self._answer([one])
        except Exception as error:  # noqa: BLE001 - the caller gets it
            _refuse([one], error)


def _refuse(batch: "Sequence[tuple[T, asyncio.Future[R]]]", error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)

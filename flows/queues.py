"""A queue that is emptied in batches, in which an item that nobody takes keeps no other one waiting."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Generic, TypeVar

from db import loops
from db.prefect_answers import PrefectUnavailable
from db.sqlstates import Meaning
from flows.meanings import meaning_of

T = TypeVar("T")


class BatchQueue(Generic[T]):
    """Items in their order. A batch that is refused is halved until the item to blame is alone; that is set aside.

    Nothing is dropped because the receiver is away, nor for an error that nobody knows: the batch waits for the next
    call. Such an error is blamed on a single item only where the next item is taken.
    """

    def __init__(
        self,
        name: str,
        put: Callable[[Sequence[T]], Awaitable[object]],
        *,
        at_most: int,
        set_aside: Callable[[T, Exception], T | None],
        size: Callable[[T], int] = lambda _: 1,
        most: float = inf,
    ) -> None:
        """`set_aside` answers what takes the place of an item that is never taken.

        `size` is what `total` sums up, and `most` how much of it is put at once: a larger batch may never get through
        in the time that it has.
        """
        self._name, self._put, self._at_most, self._most = name, put, at_most, most
        self._set_aside, self._size = set_aside, size
        self._items: deque[T] = deque()
        self._batch: list[T] = []
        self._at_once = at_most
        self._turn = asyncio.Lock()
        self._added = self._gone = 0
        self.total = 0

    def __len__(self) -> int:
        return len(self._items) + len(self._batch)

    def append(self, item: T) -> None:
        """Adds an item at the end."""
        self._items.append(item)
        self._added += 1
        self.total += self._size(item)

    def shorten(self, *, most: int) -> int:
        """Drops the oldest items that are not being put until `total` is at most that; returns how many."""
        before = self._gone
        while self.total > most and self._items:
            self._forget([self._items.popleft()])
        return self._gone - before

    async def empty(self) -> None:
        """Returns when everything that was added before is put.

        Raises:
            Exception: what `put` raised; everything that is left waits for the next call.
        """
        async with self._turn:
            until = self._added
            while self._gone < until and self._fill():
                await self._put_batch()

    def _fill(self) -> bool:
        size = sum(map(self._size, self._batch))
        while self._items and len(self._batch) < self._at_once and (size < self._most or not self._batch):
            self._batch.append(self._items.popleft())
            size += self._size(self._batch[-1])
        return bool(self._batch)

    async def _put_batch(self) -> None:
        try:
            await self._put(tuple(self._batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is about one item, or raised again
            await self._narrow(error)
        else:
            self._taken()
            self._at_once = min(self._at_once * 2, self._at_most)

    async def _narrow(self, error: Exception) -> None:
        """Returns where the queue can go on, with a smaller batch or without the item to blame."""
        meaning = meaning_of(error)
        if meaning is Meaning.AWAY and not (isinstance(error, PrefectUnavailable) and error.answered):
            raise error
        if len(self._batch) > 1:
            self._halve()
        elif meaning is Meaning.REFUSED or (await self._next_is_taken() and not await self._is_taken()):
            self._replace(error)
            return
        if meaning is not Meaning.REFUSED:
            raise error

    def _halve(self) -> None:
        self._at_once = len(self._batch) // 2
        self._items.extendleft(reversed(self._batch[self._at_once :]))
        del self._batch[self._at_once :]

    async def _next_is_taken(self) -> bool:
        if not self._items:
            return False
        first, self._batch = self._batch, [self._items.popleft()]
        try:
            return await self._is_taken()
        finally:
            self._items.extendleft(self._batch)
            self._batch = first

    async def _is_taken(self) -> bool:
        try:
            await self._put(tuple(self._batch))
        except Exception:  # noqa: BLE001 - the first error is the one that is told
            return False
        self._taken()
        return True

    def _taken(self) -> None:
        self._forget(self._batch)
        self._batch = []

    def _replace(self, error: Exception) -> None:
        loops.record_of(self._name).failed(error)
        [item] = self._batch
        instead = self._set_aside(item, error)
        if instead is None:
            self._taken()
        else:
            self._batch = [instead]
            self.total += self._size(instead) - self._size(item)

    def _forget(self, items: Sequence[T]) -> None:
        self._gone += len(items)
        self.total -= sum(map(self._size, items))

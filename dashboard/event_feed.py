"""Events to those who listen: read once for all of them, and again for whoever comes back from somewhere earlier."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import anyio
from sqlalchemy.orm import Session

from dashboard.live import Hub
from db import events
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.events import Event, Position, Wanted
from db.notifications import Topic

T = TypeVar("T")

LOOK_SECONDS = 0.5
"""A hint may be lost."""
GATHER_SECONDS = 0.1
"""Many small changes become few messages. So soon it is looked again where a hint came before its event: an older
transaction is still under way."""
AGAIN_SECONDS = 1.0
ALIVE_SECONDS = 15.0
"""So often a listener hears at least where it is, and whoever sends notices that it is gone."""
RETRY_MILLISECONDS = 1000
AT_ONCE = 1000
WAITING_AT_MOST = 5000
"""A listener that is slower is sent the rest from the catalogue, at its own pace."""


class _Inbox:
    """What a listener is to be sent. `is_behind`: there was too much, and it has to read by itself."""

    def __init__(self) -> None:
        self.is_behind = True
        self._waiting: list[Told] = []
        self._woken = asyncio.Event()

    def put(self, told: "Sequence[Told]") -> None:
        if self.is_behind:
            return
        self._waiting.extend(told)
        if len(self._waiting) > WAITING_AT_MOST:
            self.is_behind = True
            self._waiting.clear()
        self._woken.set()

    async def take(self, *, within_seconds: float) -> "list[Told]":
        """What is there, or comes first within the time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), within_seconds)
        self._woken.clear()
        taken, self._waiting = self._waiting, []
        return taken


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and how it is sent to everybody."""

    event: Event
    text: bytes


class Feed:
    """For one event loop. `as_text` makes of an event what is sent as its data."""

    def __init__(self, catalogue: Catalogue, hub: Hub, as_text: Callable[[Event], str]) -> None:
        self._catalogue, self._hub, self._as_text = catalogue, hub, as_text
        self._inboxes: set[_Inbox] = set()
        self._reader: asyncio.Task[None] | None = None

    async def start_of(self, last: Position | None) -> Position:
        """Where a listener begins: after the last event that it knows, or now.

        Raises:
            EventsForgotten, CatalogueUnavailable.
        """

        def look(session: Session) -> Position:
            if last is None:
                return events.end(session)
            events.check(session, last)
            return last

        return await self._do(look)

    async def listen(self, position: Position, wanted: Wanted) -> AsyncIterator[bytes]:
        """What happens after the position, as Server-Sent Events, for as long as somebody wants them."""
        with self._inbox() as inbox:
            yield f"retry: {RETRY_MILLISECONDS}\n{_at(position)}".encode()
            while True:
                if inbox.is_behind:
                    inbox.is_behind = False  # from here on, what is new is kept for it
                    async for told in self._after(position):
                        position = told[-1].event.position
                        yield _chunk(told, wanted, position)
                told = [one for one in await inbox.take(within_seconds=ALIVE_SECONDS) if one.event.position > position]
                position = told[-1].event.position if told else position
                if not inbox.is_behind:
                    yield _chunk(told, wanted, position)

    @contextmanager
    def _inbox(self) -> Iterator[_Inbox]:
        inbox = _Inbox()
        self._inboxes.add(inbox)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_for_all())
        try:
            yield inbox
        finally:
            self._inboxes.discard(inbox)

    async def _read_for_all(self) -> None:
        position: Position | None = None
        heard: frozenset[str] = frozenset()
        with self._hub.subscription([Topic.TASKS, Topic.RUNS]) as hints:
            while self._inboxes:
                is_settled = not heard
                try:
                    if position is None:
                        position = await self._do(events.end)
                    async for told in self._pages(position):
                        position, is_settled = told[-1].event.position, True
                        for inbox in self._inboxes:
                            inbox.put(told)
                except CatalogueUnavailable:
                    await asyncio.sleep(AGAIN_SECONDS)
                heard = await hints.changes(within_seconds=LOOK_SECONDS if is_settled else GATHER_SECONDS)
                await asyncio.sleep(GATHER_SECONDS)

    async def _after(self, position: Position) -> AsyncIterator[list[Told]]:
        """As `_pages`, also when PostgreSQL goes away and comes back."""
        while True:
            try:
                async for told in self._pages(position):
                    position = told[-1].event.position
                    yield told
            except CatalogueUnavailable:
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    async def _pages(self, position: Position) -> AsyncIterator[list[Told]]:
        """What there is after the position now."""
        while found := await self._do(partial(self._read, after=position)):
            position = found[-1].event.position
            yield found
            if len(found) < AT_ONCE:
                return

    def _read(self, session: Session, *, after: Position) -> list[Told]:
        return [self._told(event) for event in events.read(session, after=after, limit=AT_ONCE)]

    def _told(self, event: Event) -> Told:
        return Told(event, f"id: {event.position}\nevent: {event.type}\ndata: {self._as_text(event)}\n\n".encode())

    async def _do(self, work: Callable[[Session], T]) -> T:
        def transaction() -> T:
            with self._catalogue.transaction() as session:
                return work(session)

        return await anyio.to_thread.run_sync(transaction)


def _at(position: Position) -> str:
    """An event without data: nobody is told of it, and whoever comes back says this position."""
    return f"id: {position}\n\n"


def _chunk(told: Sequence[Told], wanted: Wanted, position: Position) -> bytes:
    return b"".join(one.text for one in told if wanted.has(one.event)) or _at(position).encode()

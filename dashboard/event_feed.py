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
from db import events, loops
from db.engine import Catalogue
from db.events import Event, Position, Wanted
from db.notifications import Topic

T = TypeVar("T")

LOOK_SECONDS = 0.5
"""A hint may be lost."""
GATHER_SECONDS = 0.1
"""Many small changes become few messages. So soon it is looked again where a hint came before its event: an older
transaction is still under way."""
ALIVE_SECONDS = 15.0
"""So often a listener hears at least where it is, and whoever sends notices that it is gone."""
RETRY_MILLISECONDS = 1000
AT_ONCE = 1000
WAITING_AT_MOST = 5000
"""A listener that is slower is sent the rest from the catalogue, at its own pace."""


class _Inbox:
    """What a listener is to be sent. `is_behind`: there was too much, and it has to read by itself."""

    def __init__(self) -> None:
        self.is_behind = self.is_open = True
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
        self._wanted = asyncio.Event()
        self._reads_from = asyncio.Event()
        """Whether it is known from where on all are told."""
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
            while inbox.is_open:
                if inbox.is_behind and await _is_set(self._reads_from, within_seconds=ALIVE_SECONDS):
                    inbox.is_behind = False  # from here on, what is new is kept for it
                    async for told in self._after(position):
                        position = told[-1].event.position
                        yield _chunk(told, wanted, position)
                told = [one for one in await inbox.take(within_seconds=ALIVE_SECONDS) if one.event.position > position]
                position = told[-1].event.position if told else position
                if not told or not inbox.is_behind:
                    yield _chunk(told, wanted, position)

    @contextmanager
    def _inbox(self) -> Iterator[_Inbox]:
        inbox = _Inbox()
        self._inboxes.add(inbox)
        self._wanted.set()
        if self._reader is None or self._reader.done():
            self._reader = loops.start("event feed", _Reader(self).step)
        try:
            yield inbox
        finally:
            inbox.is_open = False
            self._inboxes.discard(inbox)

    async def _after(self, position: Position) -> AsyncIterator[list[Told]]:
        """As `_pages`, also when PostgreSQL goes away and comes back."""
        while found := await loops.insist("event feed for one", partial(self._do, partial(self._read, after=position))):
            position = found[-1].event.position
            yield found
            if len(found) < AT_ONCE:
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
        try:
            text = f"id: {event.position}\nevent: {event.type}\ndata: {self._as_text(event)}\n\n"
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are told
            loops.record_of("event feed: an event").failed(error)
            text = _at(event.position)
        return Told(event, text.encode())

    async def _do(self, work: Callable[[Session], T]) -> T:
        def transaction() -> T:
            with self._catalogue.transaction() as session:
                return work(session)

        return await anyio.to_thread.run_sync(transaction)


class _Reader:
    """Reads what is new, once for all who listen; while nobody does, nothing."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._hints = feed._hub.subscribe([Topic.TASKS, Topic.RUNS])
        self._position: Position | None = None
        self._has_heard = False

    async def step(self) -> None:
        feed = self._feed
        if not feed._inboxes:
            self._position = None
            feed._reads_from.clear()
            feed._wanted.clear()
            await feed._wanted.wait()
        position = self._position = self._position if self._position is not None else await feed._do(events.end)
        feed._reads_from.set()
        is_settled = not self._has_heard
        async for told in feed._pages(position):
            self._position, is_settled = told[-1].event.position, True
            for inbox in feed._inboxes:
                inbox.put(told)
        self._has_heard = bool(await self._hints.changes(within_seconds=LOOK_SECONDS if is_settled else GATHER_SECONDS))
        await asyncio.sleep(GATHER_SECONDS)


async def _is_set(event: asyncio.Event, *, within_seconds: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_seconds)
    return event.is_set()


def _at(position: Position) -> str:
    """An event without data: nobody is told of it, and whoever comes back says this position."""
    return f"id: {position}\n\n"


def _chunk(told: Sequence[Told], wanted: Wanted, position: Position) -> bytes:
    return b"".join(one.text for one in told if wanted.has(one.event)) or _at(position).encode()

"""Warmed zygotes: the libraries of Python functions, loaded ahead for their next runs.

A function's first run, and each while nothing better is ready, is forked from the plain zygote and loads what it needs
itself. It says what that was; a zygote that has loaded the same is prepared meanwhile, and serves from then on.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db import loops
from flows import children, environment
from flows.children import Child, Outdated, Zygote, ZygoteDied
from flows.libraries import REFUSALS, SETTLING

log = logging.getLogger(__name__)

MOST = 8
"""How many are kept; each is a process of the size of its libraries."""

IDLE_SECONDS = 600.0
SPARED_SECONDS = 60.0
"""Who served so lately does not make room for another: with many more functions than room, none would ever be ready."""

AGAIN_AFTER_SECONDS = 600.0
SETTLED_AFTER_SECONDS = 15.0
_TIDY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Use:
    """What a function was seen to load, in its order, and to change besides."""

    libraries: tuple[str, ...]
    traces: tuple[str, ...]


@dataclass(slots=True)
class _Place:
    zygote: Zygote
    used_at: float
    is_ready: bool = False


class Warmed:
    """The zygotes of one event loop; until it is opened there, and after it is closed, all goes to the plain one."""

    def __init__(self, plain: Zygote, make: Callable[[], Zygote]) -> None:
        self._plain, self._make = plain, make
        self._forget_everything()

    def _forget_everything(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._uses: dict[str, Use] = {}
        self._same: dict[Use, Use] = {}
        self._places: dict[Use, _Place] = {}
        self._refused: dict[Use, float] = {}
        self._turn = asyncio.Lock()
        self._behind: set[asyncio.Task[None]] = set()
        self._tidying: asyncio.Task[None] | None = None

    @property
    def ready(self) -> int:
        """How many zygotes have loaded their libraries."""
        return sum(place.is_ready for place in self._places.values())

    def open(self) -> None:
        """Prepares zygotes from now on, in this event loop."""
        if not self._is_open:
            self._forget_everything()
            self._loop = asyncio.get_running_loop()
            self._tidying = loops.start("worker.warmed tidy", self._tidy, pause_seconds=_TIDY_SECONDS)

    async def spawn(self, request: Mapping[str, Any], writing: Sequence[int]) -> Child:
        """See `flows.children.Zygote.spawn`; the request's `callable` says whose libraries are needed."""
        use = self._uses.get(request["callable"]) if self._is_open else None
        place = self._place(use) if use else None
        if use and place and place.is_ready:
            try:
                return await place.zygote.spawn(request, writing, anew=False)
            except (Outdated, ZygoteDied):
                self._replace(use, place)
        return await self._plain.spawn(request, writing)

    def learn(self, path: str, said: Mapping[str, Any]) -> None:
        """Takes from a child's report what its function uses, if it is more than was loaded ahead."""
        if self._is_open and "libraries" in said and "traces" in said:
            use = Use(tuple(map(str, said["libraries"])), tuple(map(str, said["traces"])))
            self._uses[path] = self._same.setdefault(use, use)
            self._place(self._uses[path])

    async def close(self) -> None:
        """Ends them all; children that are left are killed."""
        if self._is_open:
            behind = (*self._behind, *([self._tidying] if self._tidying else []))
            for task in behind:
                task.cancel()
            await asyncio.gather(*behind, return_exceptions=True)
            await asyncio.gather(*(place.zygote.close() for place in self._places.values()))
        self._forget_everything()

    @property
    def _is_open(self) -> bool:
        return self._loop is asyncio.get_running_loop()

    def _place(self, use: Use) -> _Place | None:
        """Where it is served, now or soon; None when there is no room, or it was refused."""
        now = time.monotonic()
        place = self._places.get(use)
        if place is None and self._refused.get(use, now) <= now and self._has_room(now):
            place = self._places[use] = _Place(self._make(), now)
            self._do(self._prepare(use, place))
        if place is not None:
            place.used_at = now
        return place

    def _has_room(self, now: float) -> bool:
        if len(self._places) < MOST:
            return True
        use, oldest = min(self._places.items(), key=lambda item: item[1].used_at)
        if not oldest.is_ready or now - oldest.used_at < SPARED_SECONDS:
            return False
        self._let_go(use)
        return True

    def _replace(self, use: Use, place: _Place) -> None:
        if self._places.get(use) is place:
            self._let_go(use)
            self._place(use)

    def _let_go(self, use: Use) -> None:
        self._do(self._retire(self._places.pop(use).zygote))

    # What goes on behind the runs.

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = loops.beside("worker.warmed", work)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _prepare(self, use: Use, place: _Place) -> None:
        # One after the other, because it costs as much as it saves later.
        async with self._turn:
            try:
                await place.zygote.load(use.libraries, use.traces)
            except Exception as error:  # noqa: BLE001 - whatever it is, every run loads them by itself then
                self._refuse(use, str(error) or "the process that loaded it died, or took too long")
                await place.zygote.close()
            else:
                place.is_ready = True

    def _refuse(self, use: Use, why: str) -> None:
        del self._places[use]
        wait = SETTLED_AFTER_SECONDS if why == REFUSALS[SETTLING] else AGAIN_AFTER_SECONDS
        self._refused[use] = time.monotonic() + wait
        whose = ", ".join(path for path, used in self._uses.items() if used is use)
        log.info("What %s imports is loaded by every run, not once for all: %s", whose, why)

    async def _retire(self, zygote: Zygote) -> None:
        try:
            await zygote.retire()
        finally:
            await zygote.close()

    async def _tidy(self) -> None:
        for use, place in tuple(self._places.items()):
            if place.is_ready and time.monotonic() - place.used_at > IDLE_SECONDS:
                self._let_go(use)


WARMED = Warmed(children.PLAIN, lambda: Zygote("flows.calls", environment.of_zygote))

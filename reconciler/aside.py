"""What cannot be handled is set aside for a growing while, with its reason, and the rest goes on."""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import UUID

from db import loops
from db.errors import CatalogueError, CatalogueUnavailable
from db.set_aside import Item
from db.specs import InvalidTask
from db.texts import fit
from reconciler import deadlines
from reconciler.answers import PrefectRefused, PrefectUnavailable
from reconciler.clock import counter, now
from reconciler.deadlines import TookTooLong
from reconciler.lease import LeaseLost

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
FORGOTTEN_SECONDS = 120.0
"""What is not met again for so long after it was to be tried is not there any more."""
AWAY_IN_A_ROW = 3
"""So many in a row that get no good answer: nobody answers."""
REASON_AT_MOST = 500
FORESEEN = (PrefectRefused, PrefectUnavailable, InvalidTask, CatalogueError)
"""Errors whose own words are fit to be shown."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept:
    item: Item
    next_at: float


@dataclass(slots=True)
class Aside:
    """Of things of one kind: those that could not be handled, each with its own pause."""

    what: str
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _missed: int = 0
    """How many in a row got no good answer."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def waits(self, key: Hashable) -> bool:
        """Whether it is left alone for now."""
        kept = self._kept.get(str(key))
        return kept is not None and counter() < kept.next_at

    def waiting(self) -> list[str]:
        """The keys of those that are left alone for now."""
        return [key for key in tuple(self._kept) if self.waits(key)]

    def waiting_ids(self) -> list[UUID]:
        """As `waiting`, where the keys are ids."""
        return [UUID(key) for key in self.waiting()]

    def ready(self, things: Iterable[T], key: Callable[[T], Hashable]) -> Iterator[T]:
        """Those that are not left alone now, as long as there is time.

        Raises:
            TookTooLong.
        """
        for thing in things:
            deadlines.check()
            if not self.waits(key(thing)):
                yield thing

    @contextmanager
    def alone(self, key: Hashable, *, task_id: UUID | None = None) -> Iterator[None]:
        """Whatever goes wrong in the block is about this one.

        Raises:
            LeaseLost, TookTooLong.
            PrefectUnavailable, CatalogueUnavailable: nobody answers, or not one of several in a row.
        """
        try:
            yield
        except (LeaseLost, TookTooLong):
            raise
        except (PrefectUnavailable, CatalogueUnavailable) as error:
            if isinstance(error, PrefectUnavailable) and not error.answered:
                raise
            self.note(key, error, task_id=task_id)
            self._missed += 1
            if self._missed >= AWAY_IN_A_ROW:
                self._missed = 0
                raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others are handled
            self.note(key, error, task_id=task_id)
        else:
            self._missed = 0
            self.clear(key)

    def note(self, key: Hashable, error: Exception, *, task_id: UUID | None = None) -> None:
        """It could not be handled."""
        if not isinstance(error, FORESEEN):
            loops.record_of(f"reconciler.{self.what.replace(' ', '_')}").failed(error)
        with self._lock:
            before, at = self._kept.get(str(key)), now()
            item = Item(self.what, str(key), _reason(error), 1, at, at, task_id)
            if before is not None:
                item = replace(item, times=before.item.times + 1, since=before.item.since)
            pause = min(FIRST_SECONDS * 2.0 ** min(item.times - 1, 20), LONGEST_SECONDS)
            self._kept[str(key)] = _Kept(item, counter() + pause)

    def clear(self, key: Hashable) -> None:
        """It was handled."""
        with self._lock:
            self._kept.pop(str(key), None)

    def items(self) -> list[Item]:
        """All of them, without those that are not there any more."""
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if counter() < kept.next_at + FORGOTTEN_SECONDS}
            return [kept.item for kept in self._kept.values()]


def _reason(error: Exception) -> str:
    said = str(error) if isinstance(error, FORESEEN) else ""
    said = said or f"Something went wrong with it ({type(error).__name__}); the log has more."
    return fit(" ".join(said.split())[:REASON_AT_MOST])


@dataclass(slots=True)
class Asides:
    """All that a process has set aside, by what it is."""

    _of: dict[str, Aside] = field(default_factory=dict)
    _told: tuple[int, list[Item]] | None = None

    def of(self, what: str) -> Aside:
        """Those of a kind."""
        return self._of.setdefault(what, Aside(what))

    def tell(self, term: int, write: Callable[[list[Item]], None]) -> None:
        """Has all of them written, unless the same ones were in this term."""
        items = [item for aside in self._of.values() for item in aside.items()]
        if self._told != (term, items):
            write(items)
            self._told = term, items

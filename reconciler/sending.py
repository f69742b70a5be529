"""Sending messages by Apprise, which knows a hundred ways, some of which may never return."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Protocol

from db import loops
from reconciler.alerts import Message
from reconciler.clock import counter

SEND_SECONDS = 30.0
"""After so long a send is taken for one that does not return."""
SENDS_AT_ONCE = 32
"""With those that never return: nothing can end these but the process."""


class Send(Protocol):
    """How a message goes out."""

    def __call__(self, address: str, message: Message) -> bool:
        """Whether it did."""


def send_by_apprise(address: str, message: Message) -> bool:
    """With Apprise."""
    import apprise  # it takes a tenth of a second and some memory, which most installations never need

    sender = apprise.Apprise()
    if not sender.add(address):
        return False
    return bool(sender.notify(title=message.title, body=message.body, body_format=apprise.NotifyFormat.TEXT))


@dataclass(slots=True)
class Sends:
    """What is being sent, each in a thread of its own; one at a time for each key."""

    _since: dict[Hashable, float] = field(default_factory=dict)
    _given_up: set[Hashable] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, key: Hashable, work: Callable[[], None]) -> bool:
        """Has it done; False where one of this key goes on, or too many do."""
        with self._lock:
            if key in self._since or len(self._since) >= SENDS_AT_ONCE:
                return False
            self._since[key] = counter()

        def do() -> None:
            try:
                work()
            finally:
                self._is_over(key)

        try:
            loops.thread("reconciler.send", do)
        except BaseException:
            self._is_over(key)
            raise
        return True

    def _is_over(self, key: Hashable) -> None:
        with self._lock:
            self._given_up.discard(key)
            del self._since[key]

    def goes_on(self, key: Hashable) -> bool:
        return key in self._since

    def give_up(self) -> list[Hashable]:
        """The keys of what has not returned in time, each told once."""
        with self._lock:
            late = [key for key, since in self._since.items() if counter() - since > SEND_SECONDS]
            news = [key for key in late if key not in self._given_up]
            self._given_up |= set(news)
        return news

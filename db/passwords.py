"""Passwords: hashed with Argon2id. Few at once, because each takes 64 MiB and half of a processor's tenth of a second.

Few wait for their turn, too: whoever waits holds a thread, and often a connection, that others need.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from db.access import MIN_PASSWORD
from db.errors import TryAgainLater, WeakPassword

MAX_PASSWORD = 1000
"""Characters. Nobody is to make this process hash a book."""
AT_ONCE, WAITING_AT_MOST = 2, 6
_HASHER = PasswordHasher()
_TURNS = BoundedSemaphore(AT_ONCE)
_PLACES = BoundedSemaphore(AT_ONCE + WAITING_AT_MOST)


def hashed(password: str) -> str:
    """What is kept of a password.

    Raises:
        WeakPassword: it is too short.
        TryAgainLater: too many are hashed at this moment.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise WeakPassword(MIN_PASSWORD)
    return hashed_again(password)


def hashed_again(password: str) -> str:
    """As `hashed`, of a password that was accepted once.

    Raises:
        TryAgainLater: too many are hashed at this moment.
    """
    with _turn():
        return _HASHER.hash(password)


def is_right(password: str, known: str | None) -> bool:
    """Whether it is the password of which this is known.

    It takes as long where nothing is known: the time does not tell which names there are.

    Raises:
        TryAgainLater: too many are hashed at this moment.
    """
    with _turn():
        try:
            _HASHER.verify(known or _hash_of_nobody(), password[:MAX_PASSWORD])
        except (VerificationError, InvalidHashError):
            return False
    return known is not None


def is_outdated(known: str) -> bool:
    """Whether it was hashed in another way than passwords are by now."""
    return _HASHER.check_needs_rehash(known)


@contextmanager
def _turn() -> Iterator[None]:
    if not _PLACES.acquire(blocking=False):
        raise TryAgainLater("Too many passwords are checked at this moment.", wait_seconds=1)
    try:
        with _TURNS:
            yield
    finally:
        _PLACES.release()


@lru_cache(maxsize=1)
def _hash_of_nobody() -> str:
    return _HASHER.hash("nobody has this password")

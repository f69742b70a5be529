"""Attempts at a password or key: how many may fail within a minute, those that are under way included."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock

from db.errors import TryAgainLater, WrongPassword
from db.hosts import network_of

WINDOW_SECONDS = 60
OF_ADDRESS, OF_NAME = 10, 30
"""A name may be tried from elsewhere, too: not so often that it helps, not so seldom that it locks its owner out."""
SUBJECTS_AT_MOST = 1000
UNDER_WAY_SECONDS = 1
WAITING_AT_MOST = 20
"""Half of the threads that there are for requests."""
TOO_MANY = "Too many attempts with a wrong password or key."
TOO_MANY_AT_ONCE = "Too many want to come in at this moment."

Subjects = Mapping[str, int]
"""What an attempt counts against, and how many of each may fail."""


class Attempts:
    """How often each subject failed, for as many subjects as failed last."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[float, int]] = {}
        self._under_way: dict[str, int] = {}
        self._lock = Lock()

    @contextmanager
    def one(self, subjects: Subjects, *, now: float, is_guess: bool = True) -> Iterator["Attempt"]:
        """An attempt. A guess counts as failed until its block is over: many at once are no more than one by one.

        Raises:
            TryAgainLater: as many as may be have failed, or may be failing at this moment.
        """
        with self._lock:
            wait_seconds = max(self._wait_seconds(subject, most, now, is_guess) for subject, most in subjects.items())
            if wait_seconds:
                raise TryAgainLater(TOO_MANY, wait_seconds=wait_seconds)
            for subject in subjects:
                self._under_way[subject] = self._under_way.get(subject, 0) + 1
        attempt = Attempt()
        try:
            yield attempt
        finally:
            with self._lock:
                self._end(subjects, attempt, now)

    def _wait_seconds(self, subject: str, most: int, now: float, is_guess: bool) -> int:
        since, count = self._failed.get(subject, (now, 0))
        left = since + WINDOW_SECONDS - now
        count = count if left > 0 else 0
        if count >= most:
            return int(left) + 1
        under_way = self._under_way.get(subject, 0) if is_guess else 0
        return UNDER_WAY_SECONDS if count + under_way >= most else 0

    def _end(self, subjects: Subjects, attempt: "Attempt", now: float) -> None:
        for subject in subjects:
            self._under_way[subject] -= 1
            if not self._under_way[subject]:
                del self._under_way[subject]
            if attempt.failed:
                since, count = self._failed.pop(subject, (now, 0))
                self._failed[subject] = (now, 1) if now >= since + WINDOW_SECONDS else (since, count + 1)
        while len(self._failed) > SUBJECTS_AT_MOST:
            del self._failed[next(iter(self._failed))]


class Attempt:
    """One of them. What breaks, or is not said to have failed, counts no more when it is over."""

    failed = False


def subjects_of(*, name: str, address: str) -> Subjects:
    """What an attempt with a name, which may be empty, from an address counts against."""
    of_address = {f"address {network_of(address)}": OF_ADDRESS}
    return {**of_address, f"name {name.lower()}": OF_NAME} if name else of_address


class Turns:
    """One at a time of those who bring the same; not many of them wait, because each holds a thread."""

    def __init__(self) -> None:
        self._locks: dict[bytes, tuple[Lock, int]] = {}
        self._lock = Lock()
        self._places = BoundedSemaphore(WAITING_AT_MOST)

    @contextmanager
    def of(self, key: bytes) -> Iterator[None]:
        """The turn of one of them.

        Raises:
            TryAgainLater: too many wait.
        """
        if not self._places.acquire(blocking=False):
            raise TryAgainLater(TOO_MANY_AT_ONCE, wait_seconds=UNDER_WAY_SECONDS)
        with self._lock:
            lock, users = self._locks.get(key, (Lock(), 0))
            self._locks[key] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._locks.pop(key)
                if users > 1:
                    self._locks[key] = lock, users - 1
            self._places.release()


class OwnPasswords:
    """Attempts at the password that somebody who is signed in has to say again."""

    def __init__(self) -> None:
        self._attempts = Attempts()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """One of them.

        Raises:
            TryAgainLater: too many were wrong.
        """
        with self._attempts.one({name.lower(): OF_ADDRESS}, now=time.time()) as attempt:
            try:
                yield
            except WrongPassword:
                attempt.failed = True
                raise


OWN_PASSWORDS = OwnPasswords()

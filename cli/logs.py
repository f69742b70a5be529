"""Logs that processes append to: bounded while they are written, and never a reason to stop."""

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LOG_BYTES = 10 * 1024 * 1024
"""A log that is longer is begun anew; its end is kept beside it."""
TAIL_BYTES = 4000
ROOM_BYTES = 1024 * 1024
"""A program whose first lines cannot be written may end because of it: with less room its log is not opened."""


def open_to_append(log: Path) -> int:
    """As a file descriptor, bounded first. Raises OSError."""
    with suppress(OSError):
        bound(log)
    if free_bytes(log.parent) < ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(log))
    return os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)


def free_bytes(folder: Path) -> int:
    """What this user may still write there. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_frsize * (found.f_bfree if os.geteuid() == 0 else found.f_bavail)


def bound(log: Path) -> None:
    """Begins the log anew if it is too long; its last LOG_BYTES are kept as `.log.1`, where the disk has room for them.

    Whoever appends to it goes on in the same file, which cannot be replaced under them. What they write between the
    copy and the cut, microseconds, is lost. Raises OSError.
    """
    try:
        found = log.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(found.st_mode) and found.st_size > LOG_BYTES:
        with log.open("r+b") as file:
            file.seek(found.st_size - LOG_BYTES)
            _keep(file, log.with_suffix(".log.1"))
            file.truncate(0)


def _keep(file: BinaryIO, aside: Path) -> None:
    aside.unlink(missing_ok=True)  # on a full disk there is room for one of them
    try:
        with os.fdopen(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as kept:
            shutil.copyfileobj(file, kept)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def tail(log: Path, *, since_byte: int = 0) -> str:
    """The end of what was written from a byte on, or since the log was begun anew."""
    try:
        with log.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(since_byte if since_byte <= size else 0, size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""

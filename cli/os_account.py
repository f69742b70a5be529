"""Whom a process that root starts runs as, and how far that account gets."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """Without a uid: as whoever starts it."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> list[int] | None:
        """No other ones, root's least of all."""
        return None if self.uid is None else []

    def may_pass(self, status: os.stat_result) -> bool:
        """Whether it may enter this folder, or execute this file."""
        if self.uid is None:
            return True
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        return bool(status.st_mode & (0o010 if status.st_gid == self.gid else 0o001))

    def closed_at(self, path: Path) -> Path | None:
        """The first folder on the way to a path that it may not enter, or the path itself."""
        real = path.resolve()
        return next((step for step in (*reversed(real.parents), real) if not self.may_pass(step.stat())), None)


AS_STARTED = Account()

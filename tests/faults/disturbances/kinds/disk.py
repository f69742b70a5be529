"""The disk on which PostgreSQL keeps everything is full."""

import os
import random
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.faults.disturbances.disturbance import Disturbance, Unavailable, World

SMALL_MEGABYTES = 700
PIECES = (1 << 20, 1 << 16, 1 << 12, 1)


@dataclass
class FullDisk(Disturbance):
    """Somebody else's file takes all that is left, and goes."""

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        return cls(luck.uniform(15.0, 30.0))

    def begin(self, world: World) -> None:
        folder = world.stage.system.data_dir / "postgres"
        if not folder.is_mount():
            raise Unavailable("PostgreSQL's folder is not on a small disk of its own, and this one stays free.")
        fill(folder / "junk")

    def end(self, world: World) -> None:
        (world.stage.system.data_dir / "postgres/junk").unlink(missing_ok=True)


def mount_small_disk(folder: Path) -> None:
    """Raises Unavailable."""
    folder.mkdir(parents=True)
    words = ("mount", "-t", "tmpfs", "-o", f"size={SMALL_MEGABYTES}m,mode=711", "tmpfs", os.fspath(folder))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        folder.rmdir()
        raise Unavailable(f"A small disk cannot be mounted here: {done.stderr.strip()}")


def unmount(folder: Path) -> None:
    subprocess.run(("umount", os.fspath(folder)), check=True)


def fill(path: Path) -> None:
    """Writes until not a byte goes in any more."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        for size in PIECES:
            with suppress(OSError):
                while os.write(file, b"\0" * size):
                    pass
    finally:
        os.close(file)

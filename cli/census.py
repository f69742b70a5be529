"""Which processes there are, by part: told to others in processes.json, and remembered for after a kill."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from cli.parts import Role

SAME_BIRTH_SECONDS = 1.0


def descendants(roots: Iterable[int], parents: Mapping[int, int]) -> list[int]:
    """The roots and everything below them, in order of pid; `parents` is who started whom."""
    below = set(roots)
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    new = list(below)
    while new:
        new = [child for pid in new for child in children.get(pid, []) if child not in below]
        below.update(new)
    return sorted(below & set(parents))


class Census:
    """What was counted last."""

    def __init__(self) -> None:
        self._living: dict[int, psutil.Process] = {}
        self.pids: dict[Role, list[int]] = {}

    def count(self, roots: Mapping[Role, Iterable[int]]) -> bool:
        """Looks at every process of this machine once; true when something changed."""
        self._living = {process.pid: process for process in psutil.process_iter(["ppid"])}
        parents = {pid: process.info["ppid"] for pid, process in self._living.items()}
        found = {role: descendants(roots.get(role, ()), parents) for role in Role}
        found[Role.UP].insert(0, os.getpid())
        changed, self.pids = found != self.pids, found
        return changed

    def below(self, root: int) -> list[psutil.Process]:
        """The process and what it had started when they were counted."""
        parents = {pid: process.info["ppid"] for pid, process in self._living.items()}
        return [self._living[pid] for pid in descendants([root], parents)]

    def births(self) -> dict[int, float]:
        """When each process was born that may have to be ended after a kill; PostgreSQL is attached to instead."""
        mine = {pid for role in Role if role != Role.POSTGRES for pid in self.pids[role]} - {os.getpid()}
        born: dict[int, float] = {}
        for pid in mine:
            with suppress(psutil.Error):
                born[pid] = self._living[pid].create_time()
        return born


def write_whole(path: Path, document: object) -> None:
    """Readers see the old content or the new, never a part. Raises OSError."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(document))
    part.replace(path)


def end_leftovers(births: Path, *, patience_seconds: float = 5) -> int:
    """Ends what a killed `duetime up` left behind, and returns how much that was."""
    doomed = [process for pid, born in _read(births).items() if (process := _born_then(pid, born)) is not None]
    for process in doomed:
        with suppress(psutil.Error):
            doomed += [child for child in process.children(recursive=True) if child not in doomed]
    end(doomed, patience_seconds=patience_seconds)
    return len(doomed)


def end(processes: list[psutil.Process], *, patience_seconds: float) -> None:
    """SIGTERM, then SIGKILL. A pid that went to somebody else is left alone."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=patience_seconds)
    kill(stubborn)
    psutil.wait_procs(stubborn, timeout=patience_seconds)


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to those that are still the same processes."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def _read(births: Path) -> dict[int, float]:
    try:
        return {int(pid): float(born) for pid, born in json.loads(births.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # the first start, or one that was cut short


def _born_then(pid: int, born: float) -> psutil.Process | None:
    """No two processes have both pid and birth in common, so this one is ours, whatever its command is by now."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        same = abs(process.create_time() - born) < SAME_BIRTH_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    return None

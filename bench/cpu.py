"""CPU time by part: a part's processes, what they have started, and the commands that came and went."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil

COMMANDS = "commands"
DATABASE = "postgres"
"""Its processes that ended were backends, not commands."""

Parts = Mapping[str, list[int]]
"""The first processes of each part."""


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds of one process, and of its ended children and theirs."""

    own: float
    children: float


Reading = Mapping[str, Mapping[tuple[int, float], Used]]
"""For each part its processes, by pid and time of birth."""


def reading(parts: Parts) -> Reading:
    """Of all processes that live now. A process belongs to its nearest ancestor that a part names."""
    roots = {pid: part for part, pids in parts.items() for pid in pids}
    found: dict[str, dict[tuple[int, float], Used]] = {part: {} for part in parts}
    for pid, part in roots.items():
        _add(found[part], pid, others=roots.keys() - {pid})
    return found


def _add(found: dict[tuple[int, float], Used], pid: int, *, others: set[int]) -> None:
    if pid in others:
        return
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        children = [child.pid for child in process.children()]
    except psutil.NoSuchProcess:
        return
    used = Used(times.user + times.system, times.children_user + times.children_system)
    found[pid, process.create_time()] = used
    for child in children:
        _add(found, child, others=others)


def spent(before: Reading, after: Reading) -> dict[str, float]:
    """CPU seconds of each part between two readings. Pure.

    What a process used that ended meanwhile is in its parent's account of children, also what it used before.
    """
    result = {COMMANDS: 0.0}
    for part, now in after.items():
        then = before.get(part, {})
        own = sum(used.own - then[key].own if key in then else used.own for key, used in now.items())
        ended = sum(used.children - (then[key].children if key in then else 0.0) for key, used in now.items())
        ended -= sum(used.own + used.children for key, used in then.items() if key not in now)
        result[part] = own + (ended if part == DATABASE else 0.0)
        result[COMMANDS] += 0.0 if part == DATABASE else max(0.0, ended)
    return result


def busy_seconds() -> float:
    """CPU seconds that this machine was busy since it started, with whatever."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))

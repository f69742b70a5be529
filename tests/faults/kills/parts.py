"""The processes of a running system, and signals to them: only to those that the system itself lists as its own."""

import signal
from collections.abc import Sequence
from contextlib import suppress

import psutil

from tests.faults.kills.plan import Target
from tests.system import System

ROLES = {
    Target.WORKER_1: ("worker", 0),
    Target.WORKER_2: ("worker", 1),
    Target.RECONCILER: ("reconciler", 0),
    Target.PREFECT: ("prefect", 0),
    Target.POSTGRES: ("postgres", 0),
    Target.DASHBOARD: ("dashboard", 0),
}


def root_of(system: System, target: Target) -> psutil.Process | None:
    """The first process of the part, which the supervisor started; None while the part is dead."""
    role, index = ROLES[target]
    supervisor, listed = _supervisor(system), system.processes().get(role, [])
    roots = [process for pid in listed if (process := _child_of(supervisor, pid)) is not None]
    return roots[index] if index < len(roots) else None


def kill(system: System, targets: Sequence[Target]) -> Target | None:
    """SIGKILL to the first that lives; which one that was."""
    for target in targets:
        root = root_of(system, target)
        if root is not None:
            with suppress(psutil.NoSuchProcess):
                root.kill()
                return target
    return None


def freeze(system: System, targets: Sequence[Target]) -> tuple[Target, list[psutil.Process]] | None:
    """SIGSTOP to the first that lives: which one that was, and whom to wake.

    Of PostgreSQL every process is stopped, for its first one does not serve anybody. Of a worker only the first: its
    commands go on, as those of a machine do that lost its network.
    """
    for target in targets:
        root = root_of(system, target)
        if root is None:
            continue
        whole = [root, *(root.children(recursive=True) if target is Target.POSTGRES else [])]
        for process in whole:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        return target, whole
    return None


def thaw(processes: Sequence[psutil.Process]) -> None:
    """SIGCONT to those that are still the same processes."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)


def _supervisor(system: System) -> int:
    assert system.process is not None
    return system.process.pid


def _child_of(parent: int, pid: int) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.ppid() == parent and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None

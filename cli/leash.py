"""`python -I -S leash.py <pid> <command>`: becomes the command, which is told to end when the process of that pid dies.

A process that is killed cannot stop what it started; on Linux the kernel does that for it. The kernel watches the
thread that started this, so it has to be one that lasts. Elsewhere the next start ends what is left over.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
# Looked up before a fork, after which a process may do little.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def leashed(command: Sequence[str]) -> list[str]:
    """The command that starts this one so that it ends with the calling process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def end_with_parent(how: signal.Signals) -> None:
    """Has the kernel send the signal to this process when its parent dies; an exec keeps that."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(how), 0, 0, 0)


def main(parent: int, command: list[str]) -> None:
    """Does not return."""
    end_with_parent(signal.SIGTERM)
    # A shell that starts us in the background has it ignored, and so would be whoever stops by sending it to itself, as
    # Prefect's worker does.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.getppid() != parent:
        sys.exit("Whoever started this is dead already.")
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

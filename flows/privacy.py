"""What a worker was told stays its own: other processes of its user, tasks among them, do not read its memory."""

import ctypes
import sys

PR_SET_DUMPABLE = 4


def keep_to_itself() -> None:
    """On Linux this process's environment and memory are for root only; what it executes is as it would be anyway."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)

"""Priority: what can wait gives way to what cannot."""

import os
from contextlib import suppress
from pathlib import Path

GIVES_WAY = 10
"""Of 0 to 19: how far a process stands back, as nice(1) counts. At 10 it gets a ninth of what the others get."""
AUTOGROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """Lets all others go before this process where there are too few processors for all.

    Linux may share them between sessions first: then only the priority of the session counts for those outside of it
    (sched(7), autogroup), and it is set where the session is this process's own.
    """
    os.nice(GIVES_WAY)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # another system, or a kernel that knows no such groups
            AUTOGROUP.write_text(str(GIVES_WAY))

"""What `duetime` tells the person who started it."""

import sys
from contextlib import suppress


def say(text: str) -> None:
    """One line, at once; a terminal that is gone is no reason to stop."""
    with suppress(OSError, ValueError):
        print(text, flush=True)


def complain(text: str) -> None:
    """What went wrong, and the cure."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


class Refused(Exception):
    """The system can't be started as it was asked for; the message says why and what to do."""

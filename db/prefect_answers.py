"""Sorts what Prefect's API answers, in one place: away and asked again later, or refused for one request alone.

Like `db.sqlstates` for PostgreSQL; whoever speaks to Prefect makes the calls in its own way.
"""

import json
from typing import Any, TypeVar

from db.errors import Unavailable
from db.json_texts import read_json

AWAY = frozenset({401, 403, 407, 408, 425, 429})
"""It is not about what was asked for, but about who asks, or when."""
SAID_AT_MOST = 1000
CREDENTIALS = (
    "It does not know who asks: set PREFECT_API_AUTH_STRING to the user:password that the server has, and "
    "PREFECT_API_KEY where it wants a key."
)
ADDRESS = "Is PREFECT_API_URL the address of Prefect's API, such as http://host:4200/api?"
CURES = {401: CREDENTIALS, 403: CREDENTIALS, 407: "A proxy wants credentials, or should not be asked: see NO_PROXY."}

T = TypeVar("T")


class PrefectUnavailable(Unavailable):
    """The Prefect server does not answer, or answers that it cannot; it may later.

    `answered`: it did answer, so that it may only be this one thing that it cannot do.
    """

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class AnswerTooLarge(PrefectUnavailable):
    """More was answered than is read; less may be asked for."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The Prefect server answers more than {limit >> 20} MiB at once.", answered=True)


class PrefectRefused(Exception):
    """Prefect will not do this one thing, and says why."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


def encoded(document: Any) -> bytes | None:
    """A document as it is sent; None where there is none. Pure.

    Raises:
        PrefectRefused: it cannot be sent.
    """
    try:
        return None if document is None else json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise PrefectRefused(f"This cannot be sent to Prefect as JSON: {error}", status=422) from None


def sorted_out(status: int, body: bytes) -> Any:
    """The document of a good answer; None where there is none. Pure.

    Raises:
        PrefectUnavailable, PrefectRefused.
    """
    if status >= 500 or status in AWAY:
        cure = f" {CURES[status]}" if status in CURES else ""
        answered = f"The Prefect server answers {status}: {_said(body)}.{cure}" if cure else None
        raise PrefectUnavailable(
            answered or f"The Prefect server answers {status}: {_said(body)}", answered=status not in AWAY
        )
    if 300 <= status < 400:
        raise PrefectUnavailable(f"The Prefect server answers {status}. Look at PREFECT_API_URL.")
    try:
        document = read_json(body) if body else None
    except (ValueError, RecursionError) as error:
        # Whatever the status: a proxy refuses a path that it does not know for now, in HTML.
        raise garbage(f"{status}, {body[:100]!r} ({type(error).__name__}). {ADDRESS}") from error
    if status >= 400:
        raise PrefectRefused(f"Prefect answers {status}: {_said(body)}", status=status)
    return document


def garbage(what: str) -> PrefectUnavailable:
    """It answered something that is no answer to what was asked."""
    return PrefectUnavailable(f"The Prefect server answers what nobody asked for: {what}", answered=True)


def of_kind(kind: type[T], document: Any) -> T:
    """The document, if it is of this kind.

    Raises:
        PrefectUnavailable: it is not.
    """
    if not isinstance(document, kind):
        raise garbage(repr(document)[:100])
    return document


def _said(body: bytes) -> str:
    """What Prefect says is wrong, in one line. Pure."""
    try:
        document = read_json(body)
        said = document.get("exception_detail") or document.get("detail") or document.get("exception_message")
    except (ValueError, AttributeError, RecursionError):
        said = body[:SAID_AT_MOST].decode(errors="replace")
    return " ".join(str(said).replace("\0", " ").split())[:SAID_AT_MOST] or "nothing"

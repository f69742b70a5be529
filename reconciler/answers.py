"""Calls to Prefect's API: each has an end, and its answers are sorted here, in one place.

What is away may be asked again later; what is refused is about the one thing that was asked for, and others go on.
"""

import json
from typing import Any, TypeVar

import httpx

from db.errors import Unavailable
from reconciler import deadlines
from reconciler.deadlines import within

CALL_SECONDS = 15.0
"""From the first byte that is sent to the last one that arrives."""
LARGEST_ANSWER = 32 * 1024 * 1024
AWAY = frozenset({401, 403, 407, 408, 425, 429})
"""It is not about what was asked for, but about who asks, or when."""
SAID_AT_MOST = 1000
JSON = {"Content-Type": "application/json"}

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

    def __init__(self) -> None:
        super().__init__(f"The Prefect server answers more than {LARGEST_ANSWER >> 20} MiB at once.", answered=True)


class PrefectRefused(Exception):
    """Prefect will not do this one thing, and says why."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


def call(http: httpx.Client, method: str, path: str, document: Any = None) -> Any:
    """The document that is answered; None where nothing is.

    Raises:
        PrefectUnavailable, PrefectRefused.
        TookTooLong: the work that makes the call has no time left.
    """
    deadlines.check()
    content = _encoded(document)
    try:
        with within(CALL_SECONDS), http.stream(method, path, content=content, headers=JSON) as answer:
            body = _read(answer)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        deadlines.check()
        said = str(error) or type(error).__name__
        # What took too long may do so because of this one thing.
        late = isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.DecodingError)
        raise PrefectUnavailable(
            f"The Prefect server at {http.base_url} does not answer: {said}", answered=late
        ) from error
    return sorted_out(answer.status_code, body)


def _encoded(document: Any) -> bytes | None:
    try:
        return None if document is None else json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise PrefectRefused(f"This cannot be sent to Prefect as JSON: {error}", status=422) from None


def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise AnswerTooLarge
    return bytes(body)


def sorted_out(status: int, body: bytes) -> Any:
    """The document of a good answer. Pure.

    Raises:
        PrefectUnavailable, PrefectRefused.
    """
    if status >= 500 or status in AWAY:
        raise PrefectUnavailable(f"The Prefect server answers {status}: {_said(body)}", answered=status not in AWAY)
    if status >= 400:
        raise PrefectRefused(f"Prefect answers {status}: {_said(body)}", status=status)
    if status >= 300:
        raise PrefectUnavailable(f"The Prefect server answers {status}. Look at PREFECT_API_URL.")
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError) as error:
        raise garbage(f"{body[:100]!r} ({type(error).__name__})") from error


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
        document = json.loads(body)
        said = document.get("exception_detail") or document.get("detail") or document.get("exception_message")
    except (ValueError, AttributeError, RecursionError):
        said = body[:SAID_AT_MOST].decode(errors="replace")
    return " ".join(str(said).replace("\0", " ").split())[:SAID_AT_MOST] or "nothing"

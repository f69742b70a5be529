"""Calls to Prefect's API: each has an end in time and in size."""

from typing import Any

import httpx

from db.prefect_answers import AnswerTooLarge, PrefectRefused, PrefectUnavailable, encoded, garbage, of_kind, sorted_out
from reconciler import deadlines
from reconciler.deadlines import within

__all__ = ["AnswerTooLarge", "PrefectRefused", "PrefectUnavailable", "call", "garbage", "of_kind", "sorted_out"]

CALL_SECONDS = 15.0
"""From the first byte that is sent to the last one that arrives."""
LARGEST_ANSWER = 32 * 1024 * 1024
JSON = {"Content-Type": "application/json"}


def call(http: httpx.Client, method: str, path: str, document: Any = None) -> Any:
    """The document that is answered; None where nothing is.

    Raises:
        PrefectUnavailable, PrefectRefused.
        TookTooLong: the work that makes the call has no time left.
    """
    deadlines.check()
    content = encoded(document)
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


def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise AnswerTooLarge(LARGEST_ANSWER)
    return bytes(body)

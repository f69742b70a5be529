"""Bodies of requests: read with a limit, parsed as strict JSON, and checked without bending types."""

import asyncio
import json
from collections.abc import Callable
from email.message import Message
from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter

from dashboard.api.access import GuardedRoute, Handler
from dashboard.api.problems import Refusal
from db.specs import FieldError, InvalidTask

MAX_BYTES = 1024 * 1024
READ_AT_MOST = 16 * MAX_BYTES
"""A body that is too large is read this far, so that its sender gets to see the answer."""
SECONDS_AT_MOST = 30.0
"""What is still on its way then is not waited for."""


class JsonRequest(Request):
    """A request whose body is JSON as RFC 8259 wants it to be."""

    async def body(self) -> bytes:
        """At most 1 MiB, of the type application/json.

        Raises:
            Refusal: 408, 413 or 415.
        """
        if not hasattr(self, "_body"):
            try:
                async with asyncio.timeout(SECONDS_AT_MOST):
                    self._body = await self._within_limit()
            except TimeoutError:
                message = f"The body did not arrive within {SECONDS_AT_MOST:g} s. Send it again."
                raise Refusal(408, message, kind="too-slow", headers={"Connection": "close"}) from None
        if self._body and not _is_json(self.headers.get("content-type", "")):
            raise Refusal(415, "Send JSON, with the header Content-Type: application/json.", kind="not-json")
        return self._body

    async def _within_limit(self) -> bytes:
        kept, size = bytearray(), 0
        async for chunk in self.stream():
            size += len(chunk)
            if size <= MAX_BYTES:
                kept += chunk
            if size > READ_AT_MOST:
                break
        if size > MAX_BYTES:
            raise Refusal(413, "The body is larger than 1 MiB. Send less.", kind="too-large")
        return bytes(kept)

    async def json(self) -> Any:
        """The document.

        Raises:
            Refusal: 422, it is not JSON.
        """
        try:
            return parse_json(await self.body())
        except InvalidTask as error:
            raise Refusal.invalid(error.errors) from None


class JsonRoute(GuardedRoute):
    """A route that reads strict JSON, and takes `?state=` as if it had not been given."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            query = request.scope["query_string"].split(b"&")
            given = b"&".join(pair for pair in query if pair.partition(b"=")[2])
            return await handle(JsonRequest({**request.scope, "query_string": given}, request.receive))

        return handler


def parse_json(body: bytes) -> Any:
    """The document: finite numbers, valid text, no name twice in an object.

    Raises:
        InvalidTask: it is none.
    """
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_constant=_no_number, object_pairs_hook=_distinct)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except InvalidTask:
        raise
    except UnicodeError:
        raise _bad("Must be valid Unicode text, in UTF-8.") from None
    except RecursionError:
        raise _bad("Must not be nested so deeply.") from None
    except ValueError as error:
        raise _bad(f"Must be valid JSON: {error}.") from None
    return document


def strictly(accepted: Any) -> Callable[[Any, Any], Any]:
    """A wrap validator: the value as JSON would be read, so that "3" is no number and 1 is not true."""
    adapter: TypeAdapter[Any] = TypeAdapter(accepted)

    def check(value: Any, _handler: Any) -> Any:
        return adapter.validate_json(json.dumps(value), strict=True)

    return check


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type or "none/none"
    return message.get_content_type() == "application/json"


def _bad(message: str) -> InvalidTask:
    return InvalidTask([FieldError(field="body", message=message)])


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidTask([FieldError(field=twice[:200], message="Must not be given twice.")])
    return found

"""Bodies of requests: read with a limit, parsed as strict JSON, and checked without bending types.

All that takes long with some document is done in a thread: meanwhile the event loop serves everybody else.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from itertools import islice
from typing import Any, cast

from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from starlette.types import Receive, Scope

from dashboard.api.access import GuardedRoute, Handler
from dashboard.api.problems import ERRORS_AT_MOST, Refusal
from db.specs import FieldError, InvalidTask

MAX_BYTES = 1024 * 1024
READ_AT_MOST = 16 * MAX_BYTES
"""A body that is too large is read this far, so that its sender gets to see the answer."""
SECONDS_AT_MOST = 30.0
"""What is still on its way then is not waited for."""
CHECKED_AT_ONCE = 4
"""More at once would only share the interpreter's lock."""
_THREADS = ThreadPoolExecutor(CHECKED_AT_ONCE, thread_name_prefix="body")
Check = Callable[[Any], tuple[Any, Sequence[Any]]]
"""The value of a document, and pydantic's errors."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A body that was checked in a thread, for the validator that would do it in the event loop."""

    value: Any
    errors: Sequence[InitErrorDetails] = ()

    def result(self) -> Any:
        """The value.

        Raises:
            ValidationError: it is none.
        """
        if self.errors:
            raise ValidationError.from_exception_data("body", list(self.errors))
        return self.value


class JsonRequest(Request):
    """A request whose body is JSON as RFC 8259 wants it to be."""

    def __init__(self, scope: Scope, receive: Receive, check: Check | None) -> None:
        super().__init__(scope, receive)
        self._check = check

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
        """The document, checked as what the route takes.

        Raises:
            Refusal: 422, it is not JSON.
        """
        body = await self.body()
        try:
            return await asyncio.get_running_loop().run_in_executor(_THREADS, self._checked, body)
        except InvalidTask as error:
            raise Refusal.invalid(error.errors) from None

    def _checked(self, body: bytes) -> Any:
        document = parse_json(body)
        if document is None or self._check is None:
            return document
        value, errors = self._check(document)
        # As many as are answered: there may be one for each of a hundred thousand members.
        return Checked(value, tuple(map(_said_again, islice(errors, ERRORS_AT_MOST))))


def _said_again(error: Any) -> InitErrorDetails:
    kind = PydanticCustomError(error["type"], "{message}", {"message": error["msg"]})
    return {"type": kind, "loc": error["loc"], "input": None}


class JsonRoute(GuardedRoute):
    """A route that reads strict JSON, and takes `?state=` as if it had not been given."""

    def get_route_handler(self) -> Handler:
        handle, field = super().get_route_handler(), self.body_field

        def check(document: Any) -> tuple[Any, Sequence[Any]]:
            assert field is not None
            return cast("tuple[Any, Sequence[Any]]", field.validate(document, {}))

        async def handler(request: Request) -> Response:
            query = request.scope["query_string"].split(b"&")
            given = b"&".join(pair for pair in query if pair.partition(b"=")[2])
            scope = {**request.scope, "query_string": given}
            return await handle(JsonRequest(scope, request.receive, check if field is not None else None))

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
        if isinstance(value, Checked):
            return value.result()
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
        seen = set[str]()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidTask([FieldError(field=twice[:200], message="Must not be given twice.")])
    return found

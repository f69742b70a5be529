"""What every door answers when it cannot do what was asked: RFC 9457 problems."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int, detail: str, *, kind: str = "", headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """A problem to be sent. `kind`, such as `stale-version`, names it for programs; `members` are its extensions."""
    title = HTTPStatus(status).phrase
    document = {"type": f"urn:duetime:problem:{kind}" if kind else "about:blank", "title": title, "status": status}
    return JSONResponse(
        {**document, "detail": detail, **members}, status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )

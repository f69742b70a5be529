"""Streamlit's index.html made ours, and the policy that lets the browser run exactly its scripts."""

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path

import streamlit
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

ICON = "/app/static/favicon.svg"
# Without it the frontend looks for its server below the page's own path first, and finds nothing there.
WHERE_THE_SERVER_IS = "<script>window.__streamlit = { BACKEND_BASE_URL: location.origin }</script>"


@lru_cache(maxsize=1)
def index_html() -> str:
    """The page that every page starts from."""
    html = Path(streamlit.__file__).with_name("static").joinpath("index.html").read_text(encoding="utf-8")
    html = re.sub(r"<title>.*?</title>", "<title>Duetime</title>", html)
    html = re.sub(r'<link rel="shortcut icon"[^>]*>', f'<link rel="shortcut icon" href="{ICON}" />', html)
    # A font that our theme does not use, and an interface that is switched off.
    html = re.sub(r'<link\s+rel="preload"[^>]*>|<link rel="service-desc"[^>]*>', "", html)
    return html.replace("<head>", f"<head>{WHERE_THE_SERVER_IS}", 1)


@lru_cache(maxsize=1)
def content_security_policy() -> str:
    """What a page may load and run: only what comes from here."""
    scripts = re.findall(r"<script>(.*?)</script>", index_html(), re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src 'self' blob: {hashes}",  # our components' code is imported from blobs
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self' data:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


def index_routes(home: str, pages: list[str]) -> list[BaseRoute]:
    """The pages' addresses; the bare one leads home."""

    def index(_request: Request) -> Response:
        return HTMLResponse(index_html(), headers={"Cache-Control": "no-cache"})

    def start(_request: Request) -> Response:
        return RedirectResponse(f"/{home}")

    return [Route("/", start), *(Route(f"/{page}", index) for page in pages)]

"""The API described for people: one page made of the OpenAPI document, without a script and without anybody's CDN."""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9em }
pre { overflow: auto; padding: .75rem; border: 1px solid #8884; border-radius: 6px }
h2 { margin-top: 2.5rem } summary { cursor: pointer; padding: .35rem 0 }
b.method { display: inline-block; min-width: 4.5rem } table { border-collapse: collapse }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def docs_routes(app: FastAPI) -> list[Route]:
    """`/docs`, and `/openapi.json` for programs."""

    def docs(_request: Request) -> Response:
        return HTMLResponse(page(app.openapi()), headers={"Content-Security-Policy": POLICY})

    def document(_request: Request) -> Response:
        return JSONResponse(app.openapi())

    return [Route("/docs", docs), Route("/openapi.json", document)]


def entrance_route() -> Route:
    """`/api` itself, for whoever follows the address that the start prints."""

    def enter(_request: Request) -> Response:
        return RedirectResponse("/api/docs")

    return Route("/api", enter)


def page(document: dict[str, Any]) -> str:
    """The page. Pure."""
    parts = [
        f"<h1>{escape(document['info']['title'])} API</h1>",
        *(f"<p>{escape(part)}</p>" for part in document["info"]["description"].split("\n\n")),
        '<p>Programs read <a href="openapi.json">openapi.json</a>.</p>',
        *_operations(document),
        "<h2>Models</h2>",
        *_models(document),
    ]
    head = (
        f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>API</title><style>{STYLE}</style>"
    )
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"


def _operations(document: dict[str, Any]) -> Iterator[str]:
    heading = ""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["tags"][0] != heading:
                heading = operation["tags"][0]
                yield f"<h2>{escape(heading.capitalize())}</h2>"
            yield _operation(method, f"/api{path}", operation)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}<td>{escape(one.get('description', ''))}"
        for one in operation.get("parameters", [])
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = ", ".join(f"<code>{escape(status)}</code>" for status in operation["responses"])
    return (
        f"<details><summary><b class=method>{method.upper()}</b><code>{escape(path)}</code> "
        f"{escape(operation['summary'])}</summary><table>{rows}</table>"
        f"{f'<p>Body:</p>{_json(body)}' if body else ''}<p>Answers: {answers}</p></details>"
    )


def _models(document: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f"<details><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>"


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"

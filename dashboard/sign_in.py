"""Signing in and out: plain pages without a script, the only ones that whoever is unknown here gets to see."""

import asyncio
import base64
import hashlib
import os
from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qsl, urlencode

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard.context import now
from dashboard.doorman import Denied, Doorman, is_name
from dashboard.gate import SIGN_IN, GateSettings, address_of
from dashboard.prefect_auth import AUTH_FILE, WHO_NEEDS_IT, how_to_have_it
from db import sign_ins
from db.access import MIN_PASSWORD
from db.engine import Catalogue
from db.errors import CatalogueError, CatalogueUnavailable

HOME = "/today"
MAX_BODY = 16 * 1024
BODY_SECONDS = 15.0
STYLE = """
:root { color-scheme: light dark; --line: #8886; --accent: #4a43d6 }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center }
main { width: min(22rem, calc(100vw - 2rem)); padding: 2rem; border: 1px solid var(--line); border-radius: 12px }
h1 { font-size: 1.35rem; margin: 0 0 .25rem } p { margin: 0 0 1rem } label { display: block; margin-bottom: .75rem }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem .6rem; border: 1px solid var(--line);
  border-radius: 6px }
button, a.button { font: inherit; display: block; width: 100%; box-sizing: border-box; text-align: center;
  padding: .55rem; border: 0; border-radius: 6px; background: var(--accent); color: #fff; text-decoration: none;
  cursor: pointer; margin-top: .5rem }
a.button { background: none; color: inherit; border: 1px solid var(--line) }
code { overflow-wrap: anywhere }
.bad { border-left: 4px solid #dc2626; padding-left: .75rem }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
WRONG = "This name and password do not belong together, or the account is disabled."


def sign_in_routes(catalogue: Catalogue, doorman: Doorman, settings: GateSettings) -> list[BaseRoute]:
    """`/sign-in`, `/sign-in/first` and `/sign-out`."""
    door = _Door(catalogue, doorman, settings)
    return [
        Route(SIGN_IN, door.show, methods=["GET"]),
        Route(SIGN_IN, door.sign_in, methods=["POST"]),
        Route(f"{SIGN_IN}/first", door.show_first, methods=["GET"]),
        Route(f"{SIGN_IN}/first", door.make_first, methods=["POST"]),
        Route("/sign-out", door.sign_out, methods=["GET", "POST"]),
    ]


class _Door:
    def __init__(self, catalogue: Catalogue, doorman: Doorman, settings: GateSettings) -> None:
        self._catalogue, self._doorman, self._settings = catalogue, doorman, settings

    def show(self, request: Request) -> Response:
        wanted = wanted_path(request.query_params.get("next", ""))
        try:
            if self._doorman.is_open():
                return RedirectResponse(wanted, 303)
        except CatalogueUnavailable:
            pass  # whoever knows the password of the installation may still try
        return self._form(wanted)

    async def sign_in(self, request: Request) -> Response:
        sent = await form_of(request)
        name, password = sent.get("name", "").strip(), sent.get("password", "")
        wanted = wanted_path(sent.get("next", ""))
        if not is_name(name):
            return self._form(wanted, name="", why=WRONG, status=401)
        try:
            found = await anyio.to_thread.run_sync(self._doorman.sign_in, name, password, address_of(request.scope))
        except CatalogueUnavailable as error:
            return self._form(wanted, name=name, why=str(error), status=503)
        if isinstance(found, Denied):
            if found.wait_seconds:
                why = f"Too many attempts. Wait {found.wait_seconds} second{'' if found.wait_seconds == 1 else 's'}."
                answer = self._form(wanted, name=name, why=why, status=429)
                answer.headers["Retry-After"] = str(found.wait_seconds)
                return answer
            return self._form(wanted, name=name, why=WRONG, status=401)
        return welcomed(wanted, found, request, self._settings)

    def show_first(self, request: Request) -> Response:
        token = request.query_params.get("link", "")
        try:
            with self._catalogue.transaction() as session:
                is_good = sign_ins.is_invited(session, token, now=now())
        except CatalogueUnavailable as error:
            return plain_page("The first account", f'<p class="bad">{escape(str(error))}</p>', status=503)
        return self._first_form(token) if is_good else self._void()

    async def make_first(self, request: Request) -> Response:
        sent = await form_of(request)
        token, name, password = sent.get("link", ""), sent.get("name", "").strip(), sent.get("password", "")
        if not name or not is_name(name):
            return self._first_form(token, why="Write a name of at most 100 letters.")
        try:
            found = await anyio.to_thread.run_sync(self._accept, token, name, password, address_of(request.scope))
        except CatalogueError as error:
            return self._first_form(token, name=name, why=str(error))
        return self._void() if found is None else welcomed(HOME, found, request, self._settings)

    def _accept(self, token: str, name: str, password: str, address: str) -> str | None:
        at = now()
        with self._catalogue.transaction() as session:
            account = sign_ins.accept(session, token, name, password=password, now=at)
            return None if account is None else sign_ins.begin(session, account, address=address, now=at)

    def sign_out(self, request: Request) -> Response:
        name = self._doorman.cookie_name
        # A page elsewhere may lead here, but it is a click here that signs out.
        if request.method == "GET" and request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return plain_page("Sign out", '<form method="post"><button>Sign out</button></form>')
        try:
            with self._catalogue.transaction() as session:
                sign_ins.end(session, request.cookies.get(name, ""), password=self._doorman.password)
        except CatalogueUnavailable as error:
            return plain_page("You are still signed in", f'<p class="bad">{escape(str(error))}</p>', status=503)
        answer = RedirectResponse(SIGN_IN, 303)
        answer.delete_cookie(name)
        return answer

    def _form(self, wanted: str, *, name: str = "", why: str = "", status: int = 200) -> Response:
        provider = ""
        if self._doorman.has_provider:
            address = escape(f"{SIGN_IN}/provider?{urlencode({'next': wanted})}")
            provider = f'<a class="button" href="{address}">Sign in with your organisation</a>'
        body = _fields(SIGN_IN, {"next": wanted}, name=name, why=why, button="Sign in", is_new=False)
        return plain_page("Sign in to Duetime", body + provider, status=status)

    def _first_form(self, token: str, *, name: str = "", why: str = "") -> Response:
        words = (
            "<p>It is an admin's. From then on, everybody has to sign in here, and programs need a key. Keys that were "
            f"made until now become yours.</p><p>{escape(WHO_NEEDS_IT)}</p>"
            f"<p><code>{escape(how_to_have_it(os.environ.get(AUTH_FILE, '')))}</code></p>"
        )
        body = _fields(f"{SIGN_IN}/first", {"link": token}, name=name, why=why, button="Make it", is_new=True)
        return plain_page("The first account", words + body, status=422 if why else 200)

    def _void(self) -> Response:
        body = f'<p class="bad">It was used, or it is too old.</p><a class="button" href="{SIGN_IN}">Sign in</a>'
        return plain_page("This link is void", body, status=410)


def welcomed(wanted: str, token: str, request: Request, settings: GateSettings) -> Response:
    """On to the page that was wanted, with the token as a cookie that no script sees."""
    answer = RedirectResponse(wanted, 303, headers={"Cache-Control": "no-store"})
    is_secure = request.url.scheme == "https" or settings.public_url.startswith("https:")
    answer.set_cookie(
        settings.cookie_name,
        token,
        max_age=int(sign_ins.LASTS.total_seconds()),
        httponly=True,
        samesite="lax",  # a link in a message leads to the page, and every change is looked at by the gate
        secure=is_secure,
    )
    return answer


def wanted_path(asked: str) -> str:
    """A page of ours, whatever was asked for. Pure."""
    is_ours = asked.startswith("/") and not asked.startswith(("//", "/\\", SIGN_IN)) and asked.isprintable()
    return asked if is_ours and "\\" not in asked else HOME


async def form_of(request: Request) -> Mapping[str, str]:
    """What a form sent; nothing where it is none, or larger than one of ours can be.

    Raises:
        HTTPException: 408, it does not end.
    """
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    return {}
    except TimeoutError:
        raise HTTPException(408, "The form did not arrive in time. Send it again.", {"Connection": "close"}) from None
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _fields(action: str, hidden: Mapping[str, str], *, name: str, why: str, button: str, is_new: bool) -> str:
    kept = "".join(
        f'<input type="hidden" name="{escape(key)}" value="{escape(value)}">' for key, value in hidden.items()
    )
    said = f'<p class="bad" role="alert">{escape(why)}</p>' if why else ""
    least = f'minlength="{MIN_PASSWORD}" autocomplete="new-password"' if is_new else 'autocomplete="current-password"'
    return (
        f'{said}<form method="post" action="{escape(action)}">{kept}'
        f'<label>Name<input name="name" value="{escape(name)}" required maxlength="100" autocomplete="username"'
        f"{'' if name else ' autofocus'}></label>"
        f'<label>Password<input type="password" name="password" required {least}{" autofocus" if name else ""}></label>'
        f"<button>{escape(button)}</button></form>"
    )


def plain_page(title: str, body: str, *, status: int = 200) -> Response:
    """A page of words, as those here."""
    head = (
        "<meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<link rel=icon href='data:,'><title>{escape(title)}</title><style>{STYLE}</style>"
    )
    main = f"<main><h1>{escape(title)}</h1>{body}</main>"
    html = f"<!doctype html><html lang=en><head>{head}</head><body>{main}</body></html>"
    return HTMLResponse(html, status, headers=HEADERS)

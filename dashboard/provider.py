"""Signing in at an identity provider: OpenID Connect, authorization code with PKCE, by Authlib.

Who signs in for the first time gets an account. What it may do is said by a claim of the provider, if one is named, or
else by an admin here.
"""

import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any

import anyio.to_thread
import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from sqlalchemy.orm import Session
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router

from dashboard.binding import PROVIDER
from dashboard.context import now
from dashboard.doorman import is_name
from dashboard.gate import SIGN_IN, GateSettings, address_of
from dashboard.sign_in import plain_page, wanted_path, welcomed
from db import accounts, sign_ins
from db.access import Role
from db.engine import Catalogue
from db.errors import AccountNameTaken, CatalogueError
from db.tables import Account

log = logging.getLogger(__name__)

CLIENT_ID, CLIENT_SECRET = "DUETIME_OIDC_CLIENT_ID", "DUETIME_OIDC_CLIENT_SECRET"
ROLE, ROLE_CLAIM, ADMINS = "DUETIME_OIDC_ROLE", "DUETIME_OIDC_ROLE_CLAIM", "DUETIME_OIDC_ADMINS"
WAY_SECONDS = 600
ACTOR = "identity provider"


@dataclass(frozen=True, slots=True)
class Provider:
    """Where people sign in, and what they may do then."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    role: Role = Role.VIEWER
    """Of whoever comes for the first time."""
    role_claim: str = ""
    """The claim that names roles; it is then the provider who says, at each sign-in, and who takes away."""
    admins: frozenset[str] = frozenset()
    """Mail addresses, which the provider has verified, of those who are admins at the first time."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Provider | None":
        """The one that the environment names, if it names one.

        Raises:
            ValueError: something is missing or no role.
        """
        if not environ.get(PROVIDER):
            return None
        missing = [name for name in (CLIENT_ID, CLIENT_SECRET) if not environ.get(name)]
        if missing:
            raise ValueError(f"{PROVIDER} is set and {' and '.join(missing)} not. The provider's admin has it.")
        role = environ.get(ROLE) or Role.VIEWER.value
        if role not in set(Role):
            raise ValueError(f"{ROLE} is {role!r}. Use one of {', '.join(Role)}.")
        admins = frozenset(filter(None, (each.strip().lower() for each in environ.get(ADMINS, "").split(","))))
        secret, claim = environ[CLIENT_SECRET], environ.get(ROLE_CLAIM, "")
        return cls(environ[PROVIDER].rstrip("/"), environ[CLIENT_ID], secret, Role(role), claim, admins)

    def role_in(self, claims: Mapping[str, Any]) -> Role | None:
        """The greatest role that the claim names; None where no claim does. Pure."""
        said = claims.get(self.role_claim) if self.role_claim else None
        words = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        named = [role for role in Role if role.value in words]
        return named[-1] if named else None

    def first_role(self, claims: Mapping[str, Any]) -> Role:
        """Of somebody who comes for the first time. Pure."""
        is_admin = claims.get("email_verified") is True and str(claims.get("email", "")).lower() in self.admins
        return self.role_in(claims) or (Role.ADMIN if is_admin else self.role)


def account_of(session: Session, provider: Provider, claims: Mapping[str, Any], *, now: datetime) -> Account | None:
    """The account of whom the provider has signed in, made where it is the first time; None where it is disabled."""
    subject = f"{claims['iss']} {claims['sub']}"
    account = accounts.of_subject(session, subject)
    role, said = provider.first_role(claims), provider.role_in(claims) is not None
    if account is None:
        given: dict[str, Any] = {"role": role, "subject": subject, "by_provider": said, "actor": ACTOR, "now": now}
        return _made(session, _name_in(claims), **given)
    if account.disabled:
        return None
    if said or account.role_by_provider:
        accounts.follow_provider(session, account.id, role=role, said=said, actor=ACTOR, now=now)
        if not accounts.there_is_an_admin(session):
            log.warning("Nobody is an admin any more. Make one with `duetime account`, or name one at the provider.")
    return account


def _made(session: Session, name: str, **given: Any) -> Account:
    """An account of this name, or of one like it where somebody else is called so: nobody becomes somebody else."""
    try:
        return accounts.add(session, name, **given)
    except AccountNameTaken:
        return accounts.add(session, f"{name[:90]} {secrets.token_hex(3)}", **given)


def _name_in(claims: Mapping[str, Any]) -> str:
    told = (str(claims.get(claim) or "").strip() for claim in ("preferred_username", "email", "name", "sub"))
    return next(name for name in told if name and is_name(name))


def provider_routes(catalogue: Catalogue, provider: Provider, settings: GateSettings) -> list[BaseRoute]:
    """`/sign-in/provider`, and the way back."""
    client = OAuth().register(
        "provider",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        server_metadata_url=f"{provider.issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256", "timeout": 10},
    )
    way = _Way(catalogue, provider, settings, client)
    routes = Router([Route("/", way.there), Route("/back", way.back)], redirect_slashes=False)
    # What it has to remember on the way is signed with a key of this process, and only sent on these paths.
    remembering = SessionMiddleware(
        routes,
        secret_key=secrets.token_hex(32),
        session_cookie=f"{settings.cookie_name}_way",
        max_age=WAY_SECONDS,
        path=f"{SIGN_IN}/provider",
        https_only=settings.public_url.startswith("https:"),
    )
    return [Route(f"{SIGN_IN}/provider", _with_slash), Mount(f"{SIGN_IN}/provider", remembering)]


async def _with_slash(request: Request) -> Response:
    return RedirectResponse(f"{request.url.path}/?{request.url.query}", 303)


class _Way:
    def __init__(self, catalogue: Catalogue, provider: Provider, settings: GateSettings, client: Any) -> None:
        self._catalogue, self._provider, self._settings, self._client = catalogue, provider, settings, client

    async def there(self, request: Request) -> Response:
        request.session["next"] = wanted_path(request.query_params.get("next", ""))
        here = self._settings.public_url or str(request.base_url).rstrip("/").removesuffix(f"{SIGN_IN}/provider")
        try:
            found: Response = await self._client.authorize_redirect(request, f"{here}{SIGN_IN}/provider/back")
        except (httpx.HTTPError, AuthlibBaseError, ValueError, KeyError) as error:
            return _failed(error)
        return found

    async def back(self, request: Request) -> Response:
        wanted = wanted_path(request.session.get("next", ""))
        try:
            token = await self._client.authorize_access_token(request)
            claims = token["userinfo"]
            found = await anyio.to_thread.run_sync(self._sign_in, claims, address_of(request.scope))
        except (httpx.HTTPError, AuthlibBaseError, ValueError, KeyError, CatalogueError) as error:
            return _failed(error)
        if found is None:
            return plain_page("Not signed in", '<p class="bad">This account is disabled. Ask an admin.</p>', status=403)
        request.session.clear()
        return welcomed(wanted, found, request, self._settings)

    def _sign_in(self, claims: Mapping[str, Any], address: str) -> str | None:
        at = now()
        with self._catalogue.transaction() as session:
            account = account_of(session, self._provider, claims, now=at)
            return None if account is None else sign_ins.begin(session, account, address=address, now=at)


def _failed(error: Exception) -> Response:
    """What went wrong is in the log: it may name what is nobody's business."""
    reference = secrets.token_hex(4)
    log.warning("The identity provider signed nobody in, reference %s: %s", reference, error)
    body = (
        f'<p class="bad">The identity provider did not answer as it should. The log has the details under '
        f'{reference}.</p><a class="button" href="{escape(SIGN_IN)}">Try again</a>'
    )
    return plain_page("Not signed in", body, status=502)

"""Applications as they are reached: through the real gate, or as somebody whom it has let in."""

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.api.app import create_api
from dashboard.api.metrics import metrics_route
from dashboard.doorman import Doorman
from dashboard.gate import VISITOR, Gate, GateSettings
from dashboard.live import Hub, live_route
from dashboard.provider import Provider, provider_routes
from dashboard.sign_in import sign_in_routes
from db.access import Role, Visitor
from db.engine import Catalogue

ANYBODY = Visitor("", Role.ADMIN)
"""Whoever is at this machine, where nobody has to say who they are."""


def gated(
    app: ASGIApp, catalogue: Catalogue, environ: Mapping[str, str], *, host: str = "127.0.0.1", hub: Hub | None = None
) -> Gate:
    """Behind the gate of a dashboard on port 3000."""
    settings, hub = GateSettings.from_environment(host, 3000, environ), hub or Hub(catalogue.url)
    return Gate(app, settings, doorman_of(catalogue, hub, settings), hub)


def doorman_of(catalogue: Catalogue, hub: Hub, settings: GateSettings, *, has_provider: bool = False) -> Doorman:
    """The one that such a dashboard has."""
    return Doorman(
        catalogue,
        hub,
        password=settings.password,
        cookie_name=settings.cookie_name,
        is_private=settings.is_private,
        has_provider=has_provider,
    )


def let_in(app: ASGIApp, visitor: Visitor = ANYBODY) -> ASGIApp:
    """The application as the gate would call it for this visitor."""

    async def visited(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, VISITOR: visitor}, receive, send)

    return visited


def house(
    catalogue: Catalogue,
    environ: Mapping[str, str],
    *,
    host: str = "127.0.0.1",
    hub: Hub | None = None,
    provider: Provider | None = None,
) -> Gate:
    """All that a dashboard serves but its pages, behind the gate."""
    settings, hub = GateSettings.from_environment(host, 3000, environ), hub or Hub(catalogue.url)
    doorman = doorman_of(catalogue, hub, settings, has_provider=provider is not None)
    doors = sign_in_routes(catalogue, doorman, settings)
    if provider is not None:
        doors += provider_routes(catalogue, provider, settings)
    rest = [
        metrics_route(catalogue),
        live_route(hub),
        Route("/today", _today),
        Mount("/api", create_api(catalogue, hub)),
    ]
    return Gate(Starlette(routes=[*doors, *rest]), settings, doorman, hub)


def _today(request: Request) -> Response:
    return PlainTextResponse(f"Good day, {request.scope[VISITOR].name}")

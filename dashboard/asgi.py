"""The pages, the API and the health of the system as one application behind one gate."""

import asyncio
import gc
import importlib
import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp
from streamlit.starlette import App

from dashboard import app_pages, navigation
from dashboard.api.app import create_api
from dashboard.api.docs import entrance_route
from dashboard.api.health import HealthCheck, health_routes
from dashboard.api.metrics import metrics_route
from dashboard.delivery import CompressedBundle
from dashboard.doorman import Doorman, post
from dashboard.failures import show_failure
from dashboard.gate import Gate, GateSettings
from dashboard.headers import DefaultHeaders
from dashboard.index import content_security_policy, index_routes
from dashboard.live import Hub, live_route
from dashboard.output import output_routes
from dashboard.provider import Provider, provider_routes
from dashboard.sign_in import sign_in_routes
from db import loop_lag
from db.connections import Limits
from db.engine import Catalogue
from db.loop_failures import Reporter

HURRIED = Limits(statement_seconds=2, lock_seconds=1, idle_in_transaction_seconds=4, call_seconds=3)


def create_app(catalogue: Catalogue, hub: Hub, *, host: str, port: int) -> ASGIApp:
    """Everything that this process serves."""
    settings, provider = GateSettings.from_environment(host, port), Provider.from_environment()
    doorman = _doorman(catalogue, hub, settings, provider)
    post(doorman)
    doors = sign_in_routes(catalogue, doorman, settings)
    if provider is not None:
        doors += provider_routes(catalogue, provider, settings)

    @asynccontextmanager
    async def lifespan(_app: App) -> AsyncIterator[None]:
        # Imported before the first reader comes, and not sooner: components register with a running Streamlit.
        for page in pkgutil.iter_modules(app_pages.__path__):
            importlib.import_module(f"{app_pages.__name__}.{page.name}")
        hub.start()
        reporter = Reporter(catalogue, "dashboard").start()
        lag = loop_lag.watch(asyncio.get_running_loop())
        # What is loaded by now stays: no collection need look at it again.
        gc.collect()
        gc.freeze()
        yield
        reporter.stop()
        lag.stop()
        hub.stop()

    pages = App(
        Path(__file__).with_name("app.py"),
        routes=[*doors, *_routes(catalogue, hub)],
        middleware=[Middleware(DefaultHeaders, headers=_policy()), Middleware(CompressedBundle)],
        lifespan=lifespan,
        on_script_error=show_failure,
    )
    return Gate(pages, settings, doorman, hub)


def _doorman(catalogue: Catalogue, hub: Hub, settings: GateSettings, provider: Provider | None) -> Doorman:
    return Doorman(
        catalogue,
        hub,
        password=settings.password,
        cookie_name=settings.cookie_name,
        is_private=settings.is_private,
        has_provider=provider is not None,
    )


def _policy() -> dict[str, str]:
    """What a page may load: nothing from elsewhere. The gate adds what every answer gets."""
    return {"Content-Security-Policy": content_security_policy()}


def _routes(catalogue: Catalogue, hub: Hub) -> list[BaseRoute]:
    # By a connection of its own: when pages have taken all others, the system may be well.
    check = HealthCheck(Catalogue(catalogue.url, pool_size=1, application_name="duetime-health", limits=HURRIED))
    return [
        *health_routes(check),
        metrics_route(catalogue),
        entrance_route(),
        Mount("/api", create_api(catalogue, hub, check)),
        live_route(hub),
        *output_routes(catalogue, hub),
        *index_routes(navigation.HOME, navigation.PATHS),
    ]

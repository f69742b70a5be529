"""The pages, the API and the health of the system as one application behind one gate."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp
from streamlit.starlette import App

from dashboard import navigation
from dashboard.api.app import create_api
from dashboard.api.docs import entrance_route
from dashboard.api.health import health_routes
from dashboard.api.metrics import metrics_route
from dashboard.delivery import CompressedBundle
from dashboard.failures import show_failure
from dashboard.gate import Gate, GateSettings
from dashboard.headers import DefaultHeaders
from dashboard.index import content_security_policy, index_routes
from dashboard.live import Hub, live_route
from dashboard.output import output_routes
from db.engine import Catalogue


def create_app(catalogue: Catalogue, hub: Hub, *, host: str, port: int) -> ASGIApp:
    """Everything that this process serves."""

    @asynccontextmanager
    async def lifespan(_app: App) -> AsyncIterator[None]:
        # Imported before the first reader comes, and not sooner: components register with a running Streamlit.
        from dashboard.app_pages import edit, run, runs, task, tasks  # noqa: F401

        hub.start()
        # What is loaded by now stays: no collection need look at it again.
        gc.collect()
        gc.freeze()
        yield
        hub.stop()

    pages = App(
        Path(__file__).with_name("app.py"),
        routes=_routes(catalogue, hub),
        middleware=[Middleware(DefaultHeaders, headers=_policy()), Middleware(CompressedBundle)],
        lifespan=lifespan,
        on_script_error=show_failure,
    )
    return Gate(pages, GateSettings.from_environment(host, port))


def _policy() -> dict[str, str]:
    """What a page may load: nothing from elsewhere. The gate adds what every answer gets."""
    return {"Content-Security-Policy": content_security_policy()}


def _routes(catalogue: Catalogue, hub: Hub) -> list[BaseRoute]:
    return [
        *health_routes(catalogue),
        metrics_route(catalogue),
        entrance_route(),
        Mount("/api", create_api(catalogue)),
        live_route(hub),
        *output_routes(catalogue, hub),
        *index_routes(navigation.HOME, navigation.PATHS),
    ]

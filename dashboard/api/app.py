"""The REST API as one application."""

from fastapi import FastAPI

from dashboard.api import problems
from dashboard.api.health import health_routes
from db.engine import Catalogue


def create_api(catalogue: Catalogue) -> FastAPI:
    """The API on this catalogue."""
    app = FastAPI(title="Duetime", docs_url=None, redoc_url=None)
    problems.install(app)
    app.router.routes.extend(health_routes(catalogue))
    return app

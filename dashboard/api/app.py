"""The REST API as one application."""

from typing import Any

from fastapi import FastAPI

from dashboard.api import problems
from dashboard.api.answers import Problem
from dashboard.api.docs import docs_route
from dashboard.api.health import health_router
from dashboard.api.metrics import metrics_router
from dashboard.api.runs import run_routes
from dashboard.api.schedules import schedule_routes
from dashboard.api.tasks import task_routes
from dashboard.headers import NOTHING_ELSE, DefaultHeaders
from db.engine import Catalogue

DESCRIPTION = """Tasks, their runs and the ledger of their due times.

Instants are RFC 3339 with a zone, answered in UTC. Errors are problems of RFC 9457, as `application/problem+json`."""
REFERENCE = "#/components/schemas/{model}"


class Api(FastAPI):
    """Describes problems, too, of which FastAPI only knows that there are some."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schema = Problem.model_json_schema(ref_template=REFERENCE)
        document["components"]["schemas"] |= {**schema.pop("$defs"), "Problem": schema}
        return document


def create_api(catalogue: Catalogue) -> FastAPI:
    """The API on this catalogue, to be mounted under `/api`."""
    app = Api(
        title="Duetime",
        version="1",
        description=DESCRIPTION,
        servers=[{"url": "/api"}],
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    problems.install(app)
    health = (health_router(catalogue), metrics_router(catalogue))
    for router in (task_routes(catalogue), run_routes(catalogue), schedule_routes(), *health):
        app.include_router(router)
    app.router.routes.append(docs_route(app))
    app.add_middleware(DefaultHeaders, headers={"Content-Security-Policy": NOTHING_ELSE, "Cache-Control": "no-store"})
    return app

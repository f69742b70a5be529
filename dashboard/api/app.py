"""The REST API as one application."""

from typing import Any

from fastapi import FastAPI

from dashboard.api import problems
from dashboard.api.accounts import account_routes
from dashboard.api.answers import Event, Problem
from dashboard.api.calendars import calendar_routes
from dashboard.api.docs import docs_routes
from dashboard.api.events import event_routes
from dashboard.api.health import HealthCheck, health_router
from dashboard.api.messages import message_routes
from dashboard.api.metrics import metrics_router
from dashboard.api.runs import run_routes
from dashboard.api.schedules import schedule_routes
from dashboard.api.secrets import secret_routes
from dashboard.api.tasks import task_routes
from dashboard.event_feed import Feed
from dashboard.headers import NOTHING_ELSE, DefaultHeaders
from dashboard.live import Hub
from db import events
from db.engine import Catalogue

DESCRIPTION = """Tasks, their runs and the ledger of their due times.

Instants are RFC 3339 with a zone, answered in UTC. Errors are problems of RFC 9457, as `application/problem+json`."""
REFERENCE = "#/components/schemas/{model}"


class Api(FastAPI):
    """Describes problems and events, too, of which FastAPI only knows that there are some."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for model in (Problem, Event):
            schema = model.model_json_schema(ref_template=REFERENCE)
            document["components"]["schemas"] |= {**schema.pop("$defs"), model.__name__: schema}
        return document


def create_api(catalogue: Catalogue, hub: Hub, health_check: HealthCheck | None = None) -> FastAPI:
    """The API on this catalogue, to be mounted under `/api`."""
    app = Api(
        title="Duetime",
        version="1",
        description=DESCRIPTION,
        servers=[{"url": "/api"}],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # ours is made in a thread: that takes a while
        redirect_slashes=False,
    )
    problems.install(app)
    health = (health_router(health_check or HealthCheck(catalogue)), metrics_router(catalogue))
    feed = Feed(catalogue, hub, events.as_json)
    things = (task_routes(catalogue), run_routes(catalogue), schedule_routes(catalogue), event_routes(feed))
    people = (
        account_routes(catalogue),
        calendar_routes(catalogue),
        secret_routes(catalogue),
        message_routes(catalogue),
    )
    for router in (*things, *people, *health):
        app.include_router(router)
    app.router.routes += docs_routes(app)
    app.add_middleware(DefaultHeaders, headers={"Content-Security-Policy": NOTHING_ELSE, "Cache-Control": "no-store"})
    return app

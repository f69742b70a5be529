"""Whether the process lives, whether a task that is created now would run, and whether the ledger is complete."""

from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dashboard import ledger_audit
from dashboard.api import answers
from dashboard.api.access import GuardedRoute, takes
from dashboard.api.answers import Health, Part, Readiness
from dashboard.context import now
from db import heartbeats, workers
from db.engine import Catalogue
from db.errors import CatalogueUnavailable

FRESH = timedelta(seconds=15)
"""A part that did its work longer ago is not well."""


def health_routes(catalogue: Catalogue) -> list[BaseRoute]:
    """`/healthz` and `/readyz` for the root, where load balancers and containers look."""

    def healthz(_request: Request) -> Response:
        return _alive()

    def readyz(_request: Request) -> Response:
        return _ready(catalogue)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def health_router(catalogue: Catalogue) -> APIRouter:
    """The same as a part of the API."""
    router = APIRouter(tags=["health"], route_class=GuardedRoute)
    not_ready: dict[int | str, dict[str, Any]] = {503: {"model": Readiness, "description": "Something is not well."}}

    @router.get("/healthz", openapi_extra=takes(None), response_model=Health, summary="Whether the process lives")
    def healthz() -> Response:
        return _alive()

    @router.get(
        "/readyz",
        openapi_extra=takes(None),
        response_model=Readiness,
        responses=not_ready,
        summary="Whether a new task would run",
    )
    def readyz() -> Response:
        return _ready(catalogue)

    return router


def _alive() -> Response:
    return answers.send(Health())


def _ready(catalogue: Catalogue) -> Response:
    found = readiness(catalogue, now=now())
    return answers.send(found, 200 if found.ready else 503)


def readiness(catalogue: Catalogue, *, now: datetime) -> Readiness:
    """How each part is, as far as the catalogue tells.

    Four parts decide: without PostgreSQL, Prefect, the reconciler or a worker a new task would not run. The ledger is
    shown beside them and decides nothing: a discrepancy about what is past is no reason to send no more work here.
    """
    try:
        with catalogue.transaction() as session:
            parts = {
                "postgresql": Part(ok=True, detail="It answers."),
                "prefect": _heartbeat(session, heartbeats.PREFECT, now=now),
                "reconciler": _heartbeat(session, heartbeats.RECONCILER, now=now),
                "workers": _workers(session, now=now),
                "ledger": _ledger(session, now=now),
            }
    except CatalogueUnavailable as error:
        parts = {"postgresql": Part(ok=False, detail=str(error))}
    except ProgrammingError:
        parts = {"postgresql": Part(ok=False, detail="Tables are missing. Apply the migrations: duetime migrate")}
    return Readiness(ready=all(part.ok for part in parts.values() if part.required), parts=parts)


def _heartbeat(session: Session, part: str, *, now: datetime) -> Part:
    last = heartbeats.last(session, part)
    if last is None:
        return Part(ok=False, detail="It was not heard of yet.")
    age = max(0.0, (now - last.at).total_seconds())
    return Part(ok=age <= FRESH.total_seconds(), detail=f"Last heard of {age:.0f} s ago.")


def _workers(session: Session, *, now: datetime) -> Part:
    found = len(workers.present(session, now=now))
    if found == 0:
        return Part(ok=False, detail="There is no worker. Start one: prefect worker start --pool default")
    return Part(ok=True, detail=f"{found} present.")


def _ledger(session: Session, *, now: datetime) -> Part:
    audit = ledger_audit.last_audit(session)
    well = audit is not None and audit.is_well(now=now)
    return Part(ok=well, detail=ledger_audit.in_words(audit, now=now), required=False)

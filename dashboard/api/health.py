"""Whether the process lives, and whether what is due now starts."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from sqlalchemy.exc import ProgrammingError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dashboard.api import answers
from dashboard.api.access import GuardedRoute, takes
from dashboard.api.answers import Health, Part, Readiness
from dashboard.bounded import Bounded
from dashboard.context import now
from dashboard.readiness import State, read, states
from db import heartbeats
from db.engine import Catalogue
from db.errors import CatalogueUnavailable

log = logging.getLogger(__name__)

POSTGRESQL = "postgresql"


class HealthCheck:
    """Looks how the system is when somebody asks, and remembers since when a part is not well."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._unwell_since: dict[str, datetime] = {}
        self._bounded: Bounded[Readiness] = Bounded(self._look, _silent)

    async def answer(self) -> Response:
        """What `/readyz` answers, within two seconds, whatever PostgreSQL does."""
        try:
            found = await self._bounded.answer()
        except Exception as error:  # noqa: BLE001 - the thread in which it was raised has logged it
            found = _readiness({POSTGRESQL: State(False, f"How it is could not be found out: {type(error).__name__}.")})
        return answers.send(found, 200 if found.ready else 503)

    def _look(self) -> Readiness:
        found = self._with_instants(look(self._catalogue, now=now()), now=now())
        return _readiness(found)

    def _with_instants(self, found: Mapping[str, State], *, now: datetime) -> dict[str, State]:
        """Since when each is not well: as the catalogue tells, or since it was seen first."""
        self._unwell_since = {name: self._unwell_since.get(name, now) for name, state in found.items() if not state.ok}
        return {
            name: state if state.ok or state.since is not None else replace(state, since=self._unwell_since[name])
            for name, state in found.items()
        }


def health_routes(check: HealthCheck) -> list[BaseRoute]:
    """`/healthz` and `/readyz` for the root, where load balancers and containers look."""

    async def healthz(_request: Request) -> Response:
        return _alive()

    async def readyz(_request: Request) -> Response:
        return await check.answer()

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def health_router(check: HealthCheck) -> APIRouter:
    """The same as a part of the API."""
    router = APIRouter(tags=["health"], route_class=GuardedRoute)
    not_ready: dict[int | str, dict[str, Any]] = {503: {"model": Readiness, "description": "Something is not well."}}

    @router.get("/healthz", openapi_extra=takes(None), response_model=Health, summary="Whether the process lives")
    async def healthz() -> Response:
        return _alive()

    @router.get(
        "/readyz",
        openapi_extra=takes(None),
        response_model=Readiness,
        responses=not_ready,
        summary="Whether what is due now starts",
    )
    async def readyz() -> Response:
        return await check.answer()

    return router


def _alive() -> Response:
    return answers.send(Health())


def readiness(catalogue: Catalogue, *, now: datetime) -> Readiness:
    """How each part is, as far as the catalogue tells."""
    return _readiness(look(catalogue, now=now))


def look(catalogue: Catalogue, *, now: datetime) -> dict[str, State]:
    """PostgreSQL alone where it does not answer, or has no tables; else every part."""
    try:
        with catalogue.transaction() as session:
            facts = read(session, now=now)
    except CatalogueUnavailable as error:
        return {POSTGRESQL: State(False, str(error))}
    except ProgrammingError:
        return {POSTGRESQL: State(False, "Tables are missing. Apply the migrations: duetime migrate")}
    return {POSTGRESQL: _writes(catalogue, now=now), **states(facts, now=now)}


def _writes(catalogue: Catalogue, *, now: datetime) -> State:
    """Whether PostgreSQL takes what is written, too: after a failover, or on a full disk, it may not."""
    try:
        with catalogue.transaction() as session:
            heartbeats.beat(session, heartbeats.DASHBOARD, now=now)
    except CatalogueUnavailable as error:
        return State(False, str(error))
    return State(True, "It answers, and takes what is written.")


def _silent(seconds: float) -> Readiness:
    return _readiness({POSTGRESQL: State(False, f"It has not answered for {seconds:.0f} s.", _ago(seconds))})


def _ago(seconds: float) -> datetime:
    return now() - timedelta(seconds=seconds)


def _readiness(found: Mapping[str, State]) -> Readiness:
    parts = {
        name: Part(ok=state.ok, detail=state.detail, required=state.required, since=state.since)
        for name, state in found.items()
    }
    return Readiness(ready=all(part.ok for part in parts.values() if part.required), parts=parts)

"""Runs over REST: what ran, what it printed, and an end to it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from dashboard.api import answers, problems
from dashboard.api.access import Actor, tags_of_run, takes, within_tags
from dashboard.api.bodies import JsonRoute
from dashboard.api.inputs import NOTHING, After, Cursor, EmptyBody, From, Limit, LineLimit, RunId, To
from dashboard.context import now
from db import logs, run_requests, runs, waiting
from db.access import Role
from db.engine import Catalogue
from db.states import RunState

OfTask = Annotated[UUID | None, Query(description="Only the runs of this task.")]


def run_routes(catalogue: Catalogue) -> APIRouter:
    """`/runs` and everything below it."""
    router = APIRouter(
        prefix="/runs",
        tags=["runs"],
        route_class=JsonRoute,
        responses=problems.DESCRIBED,
        dependencies=[within_tags(catalogue, tags_of_run)],
    )

    @router.get("", openapi_extra=takes(Role.VIEWER), response_model=answers.Runs, summary="List runs, newest first")
    def list_runs(
        task_id: OfTask = None,
        state: RunState | None = None,
        from_at: From = None,
        to_at: To = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        with catalogue.transaction() as session:
            found = runs.list_runs(
                session, task_id=task_id, state=state, from_at=from_at, to_at=to_at, limit=limit, cursor=cursor
            )
            return answers.page(map(answers.run_json, found.items), found.next_cursor)

    @router.get("/{id}", openapi_extra=takes(Role.VIEWER), response_model=answers.Run, summary="Read a run")
    def read(run_id: RunId) -> Response:
        with catalogue.transaction() as session:
            run = run_requests.resolve(session, run_id)
            return JSONResponse(answers.run_json(run, waiting.of_run(session, run, now=now())))

    @router.post("/{id}/cancel", openapi_extra=takes(Role.OPERATOR), response_model=answers.Run, summary="Cancel a run")
    def cancel(run_id: RunId, actor: Actor, _body: EmptyBody = NOTHING) -> Response:
        with catalogue.transaction() as session:
            run = run_requests.cancel(session, run_id, actor=actor, now=now())
            return JSONResponse(answers.run_json(run, waiting.of_run(session, run, now=now())))

    @router.get(
        "/{id}/logs",
        openapi_extra=takes(Role.VIEWER),
        response_model=answers.Lines,
        summary="What a run printed, oldest first",
    )
    def read_logs(run_id: RunId, after: After = 0, limit: LineLimit = 1000) -> Response:
        with catalogue.transaction() as session:
            run = run_requests.resolve(session, run_id)
            lines = logs.list_lines(session, run.id, after=after, limit=limit)
            last = lines[-1].id if lines else after
            return answers.send(answers.Lines.model_validate({"items": lines, "next": str(last)}))

    return router

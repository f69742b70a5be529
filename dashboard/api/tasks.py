"""Tasks over REST: created, read, replaced, paused, started, deleted and brought back."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from dashboard.api import answers, problems
from dashboard.api.access import Actor, Caller, takes, within_tags
from dashboard.api.bodies import JsonRoute
from dashboard.api.inputs import (
    AS_IT_IS,
    FROM_NOW_ON,
    NOTHING,
    UNEXPLAINED,
    Cursor,
    EmptyBody,
    From,
    IdempotencyKey,
    IfMatch,
    Limit,
    PauseBody,
    QueryText,
    ResumeBody,
    RollbackBody,
    RunBody,
    TaskBody,
    TaskId,
    TaskReplacement,
    To,
    condition,
    required_condition,
)
from dashboard.api.repeats import once
from dashboard.api.requested import RequestedRuns
from dashboard.context import now
from dashboard.problems import problem
from db import due_times, evidence, idempotency, revisions, run_requests, task_views, tasks
from db.access import Role
from db.engine import Catalogue
from db.errors import StaleVersion, TaskIsDeleted
from db.specs import as_document
from db.states import Kind, Outcome
from db.task_views import TaskFilter


def task_routes(catalogue: Catalogue) -> APIRouter:
    """`/tasks` and everything below it."""
    router = APIRouter(
        prefix="/tasks",
        tags=["tasks"],
        route_class=JsonRoute,
        responses=problems.DESCRIBED,
        dependencies=[within_tags(catalogue, tasks.tags_of)],
    )
    _add_collection(router, catalogue)
    _add_one(router, catalogue)
    _add_commands(router, catalogue)
    _add_runs(router, catalogue)
    _add_history(router, catalogue)
    return router


def _add_collection(router: APIRouter, catalogue: Catalogue) -> None:
    @router.post(
        "",
        openapi_extra=takes(Role.EDITOR),
        status_code=201,
        response_model=answers.AnsweredTask,
        summary="Create a task",
    )
    def create(task: TaskBody, by: Caller, actor: Actor, key: IdempotencyKey = None) -> Response:
        at = now()
        by.require_tags(task.tags)

        def create_it() -> dict[str, Any]:
            return _shown(session, tasks.create_task(session, task, actor=actor, now=at))

        with catalogue.transaction() as session:
            document = once(session, scope="POST /tasks", key=key, request=as_document(task), now=at, do=create_it)
        headers = {**answers.task_headers(document), "Location": f"/api/tasks/{document['id']}"}
        return JSONResponse(document, 201, headers=headers)

    @router.get(
        "", openapi_extra=takes(Role.VIEWER), response_model=answers.Tasks, summary="List tasks, in order of name"
    )
    def list_tasks(
        search: QueryText = "",
        tag: QueryText | None = None,
        kind: Kind | None = None,
        state: TaskFilter | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        with catalogue.transaction() as session:
            found = task_views.list_tasks(
                session, search=search, tag=tag, kind=kind, state=state, limit=limit, cursor=cursor, now=now()
            )
            return answers.page(map(answers.task_json, found.items), found.next_cursor)


def _add_one(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get("/{id}", openapi_extra=takes(Role.VIEWER), response_model=answers.AnsweredTask, summary="Read a task")
    def read(task_id: TaskId) -> Response:
        with catalogue.transaction() as session:
            return _answer(session, task_id)

    @router.put(
        "/{id}", openapi_extra=takes(Role.EDITOR), response_model=answers.AnsweredTask, summary="Replace a task"
    )
    def replace(task_id: TaskId, task: TaskReplacement, by: Caller, actor: Actor, if_match: IfMatch = None) -> Response:
        by.require_tags(task.tags)
        wanted = required_condition(if_match)

        def replace_it(session: Session) -> Response:
            seen = wanted.chosen(tasks.lock_version(session, task_id))
            tasks.replace_task(session, task_id, task, seen_version=seen, actor=actor, now=now())
            return _answer(session, task_id)

        return _unless_stale(catalogue, task_id, replace_it)

    @router.delete("/{id}", openapi_extra=takes(Role.EDITOR), status_code=204, summary="Move a task to the trash")
    def delete(task_id: TaskId, actor: Actor, if_match: IfMatch = None) -> Response:
        wanted = condition(if_match or "*")

        def delete_it(session: Session) -> Response:
            current = tasks.lock_version(session, task_id)
            if (seen := wanted.chosen(current)) != current:
                raise StaleVersion(seen=seen, current_version=current)
            with suppress(TaskIsDeleted):  # a repeat, because the first answer was lost
                tasks.delete_task(session, task_id, actor=actor, now=now())
            return Response(status_code=204)

        return _unless_stale(catalogue, task_id, delete_it)


def _add_commands(router: APIRouter, catalogue: Catalogue) -> None:
    @router.post(
        "/{id}/restore",
        openapi_extra=takes(Role.EDITOR),
        response_model=answers.AnsweredTask,
        summary="Bring a task back from the trash",
    )
    def restore(task_id: TaskId, actor: Actor, _body: EmptyBody = NOTHING) -> Response:
        with catalogue.transaction() as session:
            tasks.restore_task(session, task_id, actor=actor, now=now())
            return _answer(session, task_id)

    @router.post(
        "/{id}/pause", openapi_extra=takes(Role.OPERATOR), response_model=answers.AnsweredTask, summary="Pause a task"
    )
    def pause(task_id: TaskId, actor: Actor, body: PauseBody = UNEXPLAINED) -> Response:
        at = now()
        body.check(now=at)
        with catalogue.transaction() as session:
            tasks.pause_task(session, task_id, reason=body.reason, until=body.until, actor=actor, now=at)
            return _answer(session, task_id)

    @router.post(
        "/{id}/resume", openapi_extra=takes(Role.OPERATOR), response_model=answers.AnsweredTask, summary="Resume a task"
    )
    def resume(task_id: TaskId, actor: Actor, body: ResumeBody = FROM_NOW_ON) -> Response:
        with catalogue.transaction() as session:
            tasks.resume_task(session, task_id, missed=body.missed, actor=actor, now=now())
            return _answer(session, task_id)

    @router.post(
        "/{id}/rollback",
        openapi_extra=takes(Role.EDITOR),
        response_model=answers.AnsweredTask,
        summary="Go back to an earlier version",
    )
    def rollback(task_id: TaskId, actor: Actor, body: RollbackBody) -> Response:
        with catalogue.transaction() as session:
            tasks.rollback_task(session, task_id, version=body.version, actor=actor, now=now())
            return _answer(session, task_id)


def _add_runs(router: APIRouter, catalogue: Catalogue) -> None:
    requested = RequestedRuns(catalogue)

    def requested_run(request_id: UUID) -> dict[str, Any]:
        run = requested.wait_for(request_id)
        return answers.run_json(run, requested.what_holds_up(run))

    @router.post(
        "/{id}/run",
        openapi_extra=takes(Role.OPERATOR),
        status_code=202,
        response_model=answers.Run,
        summary="Run a task now",
    )
    def run(
        task_id: TaskId, by: Caller, actor: Actor, body: RunBody = AS_IT_IS, key: IdempotencyKey = None
    ) -> Response:
        if body.action is not None:
            by.require(Role.EDITOR)  # to have it do something else is to say what is run
        scope, at = f"POST /tasks/{task_id}/run", now()

        def request_it() -> dict[str, Any]:
            request_id = run_requests.request_run(session, task_id, action=body.action, actor=actor, now=at)
            return {"request": str(request_id)}

        asked = body.model_dump(exclude_none=True)
        with catalogue.transaction() as session:
            first = once(session, scope=scope, key=key, request=asked, now=at, do=request_it)
        document = first.get("run") or requested_run(UUID(first["request"]))
        if key is not None:
            with catalogue.transaction() as session:
                idempotency.remember(session, scope=scope, key=key, answer={"run": document})
        return JSONResponse(document, 202, headers={"Location": f"/api/runs/{document['id']}"})


def _add_history(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get(
        "/{id}/due-times",
        openapi_extra=takes(Role.VIEWER),
        response_model=answers.DueTimes,
        summary="The ledger of a task, oldest first",
    )
    def list_due_times(
        task_id: TaskId,
        from_at: From = None,
        to_at: To = None,
        outcome: Outcome | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        at = now()
        with catalogue.transaction() as session:
            task_views.get_task(session, task_id, now=at)
            found = due_times.list_due_times(
                session, task_id, from_at=from_at, to_at=to_at, outcome=outcome, limit=limit, cursor=cursor
            )
            reasons = evidence.explain(session, task_id, found.items, now=at)
            return answers.page(map(answers.due_time_json, found.items, reasons), found.next_cursor)

    @router.get(
        "/{id}/revisions",
        openapi_extra=takes(Role.VIEWER),
        response_model=answers.Versions,
        summary="The versions of a task, newest first",
    )
    def list_revisions(task_id: TaskId, limit: Limit = 500, cursor: Cursor = None) -> Response:
        with catalogue.transaction() as session:
            task_views.get_task(session, task_id, now=now())
            found = revisions.list_revisions(session, task_id, limit=limit + 1, cursor=cursor)
            return answers.send(answers.versions(found, limit=limit))


def _unless_stale(catalogue: Catalogue, task_id: UUID, do: Callable[[Session], Response]) -> Response:
    """What is done in one transaction answers; 412 with the task as it is now where its version is another one."""
    try:
        with catalogue.transaction() as session:
            return do(session)
    except StaleVersion as error:
        with catalogue.transaction() as session:
            current = _shown(session, task_id)
        return problem(412, str(error), kind="stale-version", headers=answers.task_headers(current), current=current)


def _shown(session: Session, task_id: UUID) -> dict[str, Any]:
    return answers.task_json(task_views.get_task(session, task_id, now=now()))


def _answer(session: Session, task_id: UUID) -> Response:
    document = _shown(session, task_id)
    return JSONResponse(document, headers=answers.task_headers(document))

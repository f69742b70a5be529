"""Errors become problems here, once for all routes: none leaves the API in another form."""

import logging
import secrets
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from dashboard.problems import MEDIA_TYPE, problem
from db.errors import (
    AccountNameTaken,
    AccountNotFound,
    AdminWithTags,
    BadCursor,
    BadSecret,
    CalendarChanged,
    CalendarInUse,
    CalendarNotFound,
    CatalogueError,
    CatalogueUnavailable,
    ChannelNotFound,
    EventsForgotten,
    IdempotencyKeyReused,
    KeyNotFound,
    LastAdmin,
    NameTaken,
    NotAllowed,
    RunIsOver,
    RunNotFound,
    SecretNotFound,
    SecretsUnavailable,
    StaleVersion,
    TaskIsDeleted,
    TaskIsNotDeleted,
    TaskNameTaken,
    TaskNotFound,
    TryAgainLater,
    WeakPassword,
    WebhookNotFound,
    WrongPassword,
)
from db.specs import FieldError, InvalidTask, field_error
from db.sqlstates import is_missing_partition

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
ERRORS_AT_MOST = 100
KINDS: Mapping[type[CatalogueError], tuple[int, str]] = {
    TaskNotFound: (404, "task-not-found"),
    RunNotFound: (404, "run-not-found"),
    TaskNameTaken: (409, "task-name-taken"),
    TaskIsDeleted: (409, "task-is-deleted"),
    TaskIsNotDeleted: (409, "task-is-not-deleted"),
    RunIsOver: (409, "run-is-over"),
    StaleVersion: (412, "stale-version"),
    EventsForgotten: (410, "events-forgotten"),
    NotAllowed: (403, "not-allowed"),
    AccountNotFound: (404, "account-not-found"),
    KeyNotFound: (404, "key-not-found"),
    AccountNameTaken: (409, "account-name-taken"),
    LastAdmin: (409, "last-admin"),
    WeakPassword: (422, "weak-password"),
    WrongPassword: (422, "wrong-password"),
    SecretNotFound: (404, "secret-not-found"),
    WebhookNotFound: (404, "webhook-not-found"),
    ChannelNotFound: (404, "channel-not-found"),
    CalendarNotFound: (404, "calendar-not-found"),
    CalendarInUse: (409, "calendar-in-use"),
    CalendarChanged: (412, "stale-version"),
    NameTaken: (409, "name-taken"),
    BadSecret: (422, "bad-secret"),
    SecretsUnavailable: (503, "secrets-unavailable"),
    AdminWithTags: (422, "admin-with-tags"),
    BadCursor: (422, "bad-cursor"),
    IdempotencyKeyReused: (422, "idempotency-key-reused"),
    CatalogueUnavailable: (503, "catalogue-unavailable"),
    TryAgainLater: (429, "too-many-attempts"),
}
NO_MONTH = "The catalogue has no table for this month yet. The reconciler makes it within seconds: try again."
FIELDS: Mapping[type[CatalogueError], str] = {
    BadCursor: "cursor",
    IdempotencyKeyReused: "Idempotency-Key",
    WeakPassword: "password",
    WrongPassword: "current",
    AdminWithTags: "tags",
}
_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
DESCRIBED: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What was sent cannot be done; `detail` says why.", "content": _CONTENT},
    "503": {"description": "PostgreSQL is away; try again after `Retry-After`.", "content": _CONTENT},
}
"""The problems that every route may answer with, for the OpenAPI document."""
HEADERS = {"if-match": "If-Match", "idempotency-key": "Idempotency-Key"}


class Refusal(HTTPException):
    """A request that is answered with a problem; the arguments are those of `problem`."""

    # An HTTPException, because FastAPI hides every other error that comes up while a body is read.
    def __init__(self, status: int, detail: str, **members: Any) -> None:
        super().__init__(status, detail)
        self.members = members

    @classmethod
    def invalid(cls, errors: Iterable[FieldError]) -> "Refusal":
        """422: the input is wrong in these fields."""
        listed = [error.model_dump() for error in islice(errors, ERRORS_AT_MOST)]
        detail = "; ".join(f"{error['field']}: {error['message']}" for error in listed[:5])
        return cls(422, detail, kind="invalid-input", errors=listed)


def install(app: FastAPI) -> None:
    """Teaches the application to answer every error with a problem."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(CatalogueError, _catalogue_error)
    app.add_exception_handler(InvalidTask, _invalid_task)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DBAPIError, _database_error)
    app.add_exception_handler(Exception, _unexpected)


def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return problem(error.status_code, error.detail, **error.members)


def _catalogue_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CatalogueError)
    status, kind = KINDS[type(error)]
    members: dict[str, Any] = {}
    if isinstance(error, BadSecret):
        members["errors"] = [{"field": error.field, "message": str(error)}]
    if type(error) in FIELDS:
        members["errors"] = [{"field": FIELDS[type(error)], "message": str(error)}]
    if status == 503:
        members["headers"] = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if isinstance(error, TryAgainLater):
        members["headers"] = {"Retry-After": str(error.wait_seconds)}
    return problem(status, str(error), kind=kind, **members)


def _invalid_task(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidTask)
    return _refused(request, Refusal.invalid(error.errors))


def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["loc"][0] == "path" for one in found):
        return problem(404, "There is no such thing: its id is not a UUID.", kind="not-an-id")
    return _refused(request, Refusal.invalid(_field_error(one) for one in found))


def _field_error(error: Any) -> FieldError:
    place, *rest = error["loc"]
    if place != "body":
        rest = [HEADERS.get(str(part), part) for part in rest]
    if not rest and error["type"] == "missing":
        return FieldError(field="body", message="A JSON body is required.")
    return field_error({**error, "loc": rest})


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = error.headers or {}
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path}. The API is described at /api/docs."
    if error.status_code == 405:
        detail = f"{request.method} is not possible here. Use {headers.get('Allow', 'another method')}."
    return problem(error.status_code, detail, headers=headers)


def _database_error(request: Request, error: Exception) -> JSONResponse:
    if is_missing_partition(error):
        return _catalogue_error(request, CatalogueUnavailable(NO_MONTH))
    return _unexpected(request, error)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    reference = secrets.token_hex(4)
    log.error("%s %s failed, reference %s", request.method, request.url.path, reference, exc_info=error)
    detail = f"Something went wrong here. The log tells more under the reference {reference}."
    return problem(500, detail, kind="unexpected", reference=reference)

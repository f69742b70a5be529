"""Who may use which route: each says the least role that it takes, in the OpenAPI document, and asks for it."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session

from dashboard.gate import VISITOR
from db import run_requests, tasks
from db.access import Role, Visitor
from db.engine import Catalogue

LEAST_ROLE = "x-least-role"
ANYBODY = "anybody"
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
TagsOf = Callable[[Session, UUID], Any]


def takes(role: Role | None) -> dict[str, Any]:
    """For `openapi_extra` of a route. None: whoever asks, also those who did not say who they are."""
    return {LEAST_ROLE: role.value if role else ANYBODY}


class GuardedRoute(APIRoute):
    """A route that is not there without saying what it takes."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        least = (self.openapi_extra or {})[LEAST_ROLE]

        async def handler(request: Request) -> Response:
            if least != ANYBODY:
                caller_of(request).require(Role(least))
            return await handle(request)

        return handler


def caller_of(request: Request) -> Visitor:
    """Who asks, as the gate found out."""
    visitor: Visitor = request.scope[VISITOR]
    return visitor


async def _actor(request: Request) -> str:
    name = caller_of(request).name
    return f"api:{name}" if name else "api"


async def _caller(request: Request) -> Visitor:
    return caller_of(request)


Actor = Annotated[str, Depends(_actor)]
"""What the audit says: this door, and who came in by it."""
Caller = Annotated[Visitor, Depends(_caller)]


def within_tags(catalogue: Catalogue, tags_of: TagsOf) -> Any:
    """A dependency of a router: whoever is limited to some tags changes nothing that has none of them."""

    def check(request: Request) -> None:
        by, given = caller_of(request), request.path_params.get("id")
        if by.tags is None or given is None or request.method in ("GET", "HEAD"):
            return
        try:
            one = UUID(given)
        except ValueError:
            return  # the route says so
        with catalogue.transaction() as session:
            by.require_tags(tags_of(session, one))

    return Depends(check)


def tags_of_run(session: Session, any_id: UUID) -> Any:
    """The tags of a run's task.

    Raises:
        RunNotFound, TaskNotFound.
    """
    return tasks.tags_of(session, run_requests.resolve(session, any_id).task_id)

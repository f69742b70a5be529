"""Events over REST: what happens, told while it happens, as Server-Sent Events."""

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from dashboard.api import problems
from dashboard.api.access import GuardedRoute, takes
from dashboard.event_feed import Feed
from db.access import Role
from db.events import Position, Wanted

STREAM = "text/event-stream"
HEADERS = {"X-Accel-Buffering": "no"}
"""A proxy is not to gather what is told."""
TYPE = re.compile(r"(task|run|due_time)\.([a-z_]+|\*)\Z")


def _types(value: str) -> str:
    if not all(TYPE.match(one) for one in value.split(",")):
        raise PydanticCustomError("event_types", "Write types such as run.failed,task.*, with commas between them.")
    return value


def _position(value: str) -> str:
    try:
        Position.parse(value)
    except ValueError as error:
        raise PydanticCustomError("event_id", "{error} Send the id of the last one.", {"error": str(error)}) from None
    return value


LastEventId = Annotated[
    Annotated[str, AfterValidator(_position)] | None,
    Header(
        alias="Last-Event-ID", description="The id of the last event that was heard: what came since is told first."
    ),
]
Types = Annotated[
    Annotated[str, AfterValidator(_types)] | None,
    Query(max_length=500, description="Only these, such as `run.failed,task.*`."),
]
OfTask = Annotated[UUID | None, Query(description="Only what happens to this task.")]
DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events as they happen. Their data is JSON, an `Event`; one without data only tells its id.",
        "content": {STREAM: {"schema": {"type": "string"}}},
    }
}


def event_routes(feed: Feed) -> APIRouter:
    """`/events`."""
    router = APIRouter(tags=["events"], route_class=GuardedRoute, responses=problems.DESCRIBED)

    @router.get(
        "/events",
        openapi_extra=takes(Role.VIEWER),
        response_class=StreamingResponse,
        responses=DESCRIBED,
        summary="Listen to what happens",
    )
    async def listen(
        last_event_id: LastEventId = None, types: Types = None, task_id: OfTask = None
    ) -> StreamingResponse:
        position = await feed.start_of(Position.parse(last_event_id) if last_event_id else None)
        wanted = Wanted(frozenset(types.split(",")) if types else frozenset(), task_id)
        return StreamingResponse(feed.listen(position, wanted), media_type=STREAM, headers=HEADERS)

    return router

"""Schedules over REST: tried before a task has them."""

from datetime import datetime, timedelta

from fastapi import APIRouter, Response

from dashboard.api import answers, problems
from dashboard.api.access import takes
from dashboard.api.bodies import JsonRoute
from dashboard.api.inputs import PreviewBody
from dashboard.context import now
from db import calendars
from db.access import Role
from db.engine import Catalogue
from db.schedules import in_words, next_due_times, warnings


def schedule_routes(catalogue: Catalogue) -> APIRouter:
    """`/schedules/preview`."""
    router = APIRouter(prefix="/schedules", tags=["schedules"], route_class=JsonRoute, responses=problems.DESCRIBED)

    @router.post(
        "/preview",
        openapi_extra=takes(Role.VIEWER),
        response_model=answers.Previewed,
        summary="When a schedule is due, in words and instants",
    )
    def preview(body: PreviewBody) -> Response:
        at = now()
        with catalogue.transaction() as session:
            schedule = calendars.schedule_followed_by(session, body.schedule).value()
        previewed = answers.Previewed(
            words=in_words(schedule),
            due_times=next_due_times(schedule, after=_just_before(body.from_at) or at, count=body.count),
            warnings=warnings(schedule, now=at),
        )
        return answers.send(previewed)

    return router


def _just_before(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant - timedelta(microseconds=1)

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
from db.schedule_words import NEVER_OPEN, in_words, warnings
from db.schedules import Cron, next_due_times


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
        due_times = next_due_times(schedule, after=_just_before(body.from_at) or at, count=body.count)
        is_never_open = not due_times and isinstance(schedule, Cron) and schedule.closed is not None
        said = [*([NEVER_OPEN] if is_never_open else []), *warnings(schedule, now=at)]
        return answers.send(answers.Previewed(words=in_words(schedule), due_times=due_times, warnings=said))

    return router


def _just_before(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant - timedelta(microseconds=1)

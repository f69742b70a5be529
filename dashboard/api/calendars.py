"""Calendars over REST: when it is closed, for all tasks that follow them."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, Field, WrapValidator
from pydantic_core import PydanticCustomError

from dashboard import ics
from dashboard.api import answers, problems
from dashboard.api.access import Actor, takes
from dashboard.api.answers import Answer
from dashboard.api.bodies import JsonRoute, strictly
from dashboard.api.inputs import IfMatch, required_condition
from dashboard.api.problems import Refusal
from dashboard.context import now
from db import calendars, tasks
from db.access import Role
from db.closures import MAX_ENTRIES, Entries
from db.engine import Catalogue
from db.specs import FieldError
from db.values import Name, Strict, without_nul


def _without_slash(value: str) -> str:
    if "/" in value:
        raise PydanticCustomError("slash", "Must not contain a slash.")
    return value


EntryList = Annotated[Entries, Field(max_length=MAX_ENTRIES)]
CalendarName = Annotated[Name, AfterValidator(_without_slash)]


class New(Strict):
    """A calendar to be made."""

    name: CalendarName
    entries: EntryList = ()


class Content(Strict):
    """What a calendar says from now on."""

    entries: EntryList


class File(Strict):
    """The text of an .ics file."""

    text: Annotated[str, AfterValidator(without_nul)]


class Calendar(Answer):
    """When it is closed."""

    name: str
    version: int
    entries: EntryList
    updated_at: datetime
    updated_by: str
    used_by: int
    """How many tasks follow it, those in the trash included."""
    broken: str | None = None
    """Why its entries cannot be read any more."""


class Calendars(Answer):
    """All of them."""

    items: list[Calendar]


class Understood(Answer):
    """The entries of a file, and in sentences what was left out of it."""

    entries: EntryList
    left_out: list[str]


NewBody = Annotated[New, WrapValidator(strictly(New))]
ContentBody = Annotated[Content, WrapValidator(strictly(Content))]
FileBody = Annotated[File, WrapValidator(strictly(File))]
PathName = Annotated[str, Path(alias="name", description="The calendar's name.")]


def calendar_routes(catalogue: Catalogue) -> APIRouter:
    """`/calendars`."""
    router = APIRouter(prefix="/calendars", tags=["calendars"], route_class=JsonRoute, responses=problems.DESCRIBED)

    _read_ics_route(router)

    @router.get("", openapi_extra=takes(Role.VIEWER), response_model=Calendars, summary="List calendars")
    def list_calendars() -> Response:
        with catalogue.transaction() as session:
            found = calendars.list_calendars(session)
        return answers.send(Calendars(items=[Calendar.model_validate(each) for each in found]))

    @router.post(
        "", openapi_extra=takes(Role.ADMIN), response_model=Calendar, status_code=201, summary="Make a calendar"
    )
    def add(body: NewBody, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            calendars.add(session, body.name, body.entries, actor=actor, now=now())
            made = calendars.get_calendar(session, body.name)
        return _send(made, 201)

    @router.get("/{name}", openapi_extra=takes(Role.VIEWER), response_model=Calendar, summary="Read a calendar")
    def read(name: PathName) -> Response:
        with catalogue.transaction() as session:
            found = calendars.get_calendar(session, name)
        return _send(found)

    @router.put(
        "/{name}",
        openapi_extra=takes(Role.ADMIN),
        response_model=Calendar,
        summary="Replace a calendar, for all tasks that follow it",
    )
    def replace(name: PathName, body: ContentBody, actor: Actor, if_match: IfMatch = None) -> Response:
        condition = required_condition(if_match)
        with catalogue.transaction() as session:
            current = calendars.get_calendar(session, name).version
            seen = None if condition.versions is None else condition.chosen(current)
            tasks.change_calendar(session, name, body.entries, seen_version=seen, actor=actor, now=now())
            changed = calendars.get_calendar(session, name)
        return _send(changed)

    @router.delete("/{name}", openapi_extra=takes(Role.ADMIN), status_code=204, summary="Remove a calendar")
    def remove(name: PathName, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            calendars.remove(session, name, actor=actor, now=now())
        return Response(status_code=204)

    return router


def _read_ics_route(router: APIRouter) -> None:
    @router.post(
        "/read-ics",
        openapi_extra=takes(Role.VIEWER),
        response_model=Understood,
        summary="What an .ics file says, to be looked at before a calendar has it",
    )
    def read_ics(body: FileBody) -> Response:
        try:
            found = ics.read(body.text, today=date.today())  # noqa: DTZ011 - what the file says has no zone either
        except ics.NotACalendar as error:
            raise Refusal.invalid([FieldError(field="text", message=str(error))]) from None
        return answers.send(Understood.model_validate(found))


def _send(found: Any, status: int = 200) -> Response:
    return answers.send(Calendar.model_validate(found), status, headers={"ETag": f'"{found.version}"'})

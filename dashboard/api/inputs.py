"""What clients may send: bodies, query parameters and headers, each checked before anything is done."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Path, Query
from pydantic import AfterValidator, BeforeValidator, Field, WrapValidator
from pydantic_core import PydanticCustomError

from dashboard.api.answers import Answered
from dashboard.api.bodies import strictly
from dashboard.api.problems import Refusal
from db.specs import FieldError, ScheduleSpec, TaskSpec
from db.states import Missed
from db.values import Instant, Strict, Text, without_nul

MAX_PAGE = 500
MAX_LINES = 5000
MAX_PREVIEW = 100
MAX_VERSION_DIGITS = 9


class Pause(Strict):
    """Why a task is paused, and until when; `until: null` is until somebody resumes it."""

    reason: Annotated[str, Field(max_length=1000), AfterValidator(without_nul)] = ""
    until: Instant | None = None

    def check(self, *, now: datetime) -> None:
        """A pause ends later than now.

        Raises:
            Refusal: 422 for one that does not.
        """
        if self.until is not None and self.until <= now:
            message = "This moment has passed. Choose a later one, or null to pause until somebody resumes the task."
            raise Refusal.invalid([FieldError(field="until", message=message)])


class Resume(Strict):
    """What to do about the due times that passed during the pause."""

    missed: Missed = Missed.NONE


class Rollback(Strict):
    """The version that the task is to be again."""

    version: Annotated[int, Field(ge=1, lt=10**MAX_VERSION_DIGITS)]


class RunAsked(Strict):
    """With members of an action: a test, which has these instead of the task's."""

    action: dict[str, Any] | None = None


class Nothing(Strict):
    """An empty object."""


class Preview(Strict):
    """A schedule to be tried; the due times from `from` on, null for now."""

    schedule: ScheduleSpec
    count: Annotated[int, Field(ge=1, le=MAX_PREVIEW)] = 10
    from_at: Annotated[Instant | None, Field(alias="from")] = None


def _without_answered(check: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """So that what GET answered can be edited and put back as it is."""

    def check_rest(value: Any, handler: Any) -> Any:
        if isinstance(value, dict):
            value = {name: kept for name, kept in value.items() if name not in Answered.model_fields}
        return check(value, handler)

    return check_rest


TaskBody = Annotated[TaskSpec, WrapValidator(strictly(TaskSpec))]
TaskReplacement = Annotated[TaskSpec, WrapValidator(_without_answered(strictly(TaskSpec)))]
# What an empty body means.
UNEXPLAINED, FROM_NOW_ON, NOTHING, AS_IT_IS = Pause(), Resume(), Nothing(), RunAsked()

PauseBody = Annotated[Pause, WrapValidator(strictly(Pause))]
ResumeBody = Annotated[Resume, WrapValidator(strictly(Resume))]
RollbackBody = Annotated[Rollback, WrapValidator(strictly(Rollback))]
RunBody = Annotated[RunAsked, WrapValidator(strictly(RunAsked))]
EmptyBody = Annotated[Nothing, WrapValidator(strictly(Nothing))]
PreviewBody = Annotated[Preview, WrapValidator(strictly(Preview))]

TaskId = Annotated[UUID, Path(alias="id", description="The task's id.")]
RunId = Annotated[UUID, Path(alias="id", description="The run's id.")]

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")
_LOST_PLUS = re.compile(r" (?=\d\d:\d\d\Z)")


def _rfc_3339(value: Any) -> Any:
    # In a query an unencoded + means a space: the offset of +01:00 arrives as " 01:00".
    text = _LOST_PLUS.sub("+", value) if isinstance(value, str) and "T" in value.upper() else value
    if not isinstance(text, str) or not _RFC_3339.match(text):
        raise PydanticCustomError("rfc_3339", "Write it as RFC 3339 with a zone, such as 2026-12-01T10:00:00Z.")
    return text


QueryText = Annotated[Text, Field(max_length=200)]
QueryInstant = Annotated[Instant, BeforeValidator(_rfc_3339)]
From = Annotated[QueryInstant | None, Query(alias="from", description="The first instant, RFC 3339.")]
To = Annotated[QueryInstant | None, Query(alias="to", description="The instant to stop before, RFC 3339.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")]
Cursor = Annotated[
    Annotated[Text, Field(max_length=8000)] | None, Query(description="`next_cursor` of the page before.")
]
LineLimit = Annotated[int, Query(ge=1, le=MAX_LINES, description="How many at most.")]
After = Annotated[int, Query(ge=0, lt=2**63, description="`next` of the answer before: what came since.")]


def _key(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise PydanticCustomError("key", "Use printable ASCII characters.")
    return value


IdempotencyKey = Annotated[
    Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_key)] | None,
    Header(alias="Idempotency-Key", description="A repeat with the same key gets the first answer, for a day."),
]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The ETag that was read: the version that may be changed.")
]


@dataclass(frozen=True, slots=True)
class Condition:
    """What `If-Match` asks for: one of these versions; None for whichever it has."""

    versions: frozenset[int] | None

    def chosen(self, current: int) -> int:
        """The version that the client has seen: the current one, if it will do."""
        if self.versions is None or current in self.versions:
            return current
        return max(self.versions, default=0)


_TAGS = re.compile(r'(?:W/)?("[^"]*"|\d+)(?:,(?:W/)?("[^"]*"|\d+))*\Z')
_VERSION = re.compile(rf'(?:W/)?"?(\d{{1,{MAX_VERSION_DIGITS}}})"?\Z')


def condition(if_match: str) -> Condition:
    """The condition of a header such as `"3"`, `"3", "4"` or `*`.

    A weak tag, which proxies make when they compress, and a bare number mean the version, too. A tag that we never
    gave matches nothing.

    Raises:
        Refusal: 422, it is no list of tags.
    """
    text = re.sub(r"\s*,\s*", ",", if_match.strip())
    if text == "*":
        return Condition(None)
    if not _TAGS.match(text):
        raise Refusal.invalid([FieldError(field="If-Match", message='Send the ETag that was read, such as "3".')])
    found = (_VERSION.match(tag) for tag in text.split(","))
    return Condition(frozenset(int(match[1]) for match in found if match))


def required_condition(if_match: str | None) -> Condition:
    """As `condition`.

    Raises:
        Refusal: 428 where the header is missing.
    """
    if if_match is None:
        raise Refusal(428, 'Send If-Match with the ETag of what you edited, such as If-Match: "3".', kind="no-version")
    return condition(if_match)

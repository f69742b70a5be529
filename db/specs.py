"""What a person says about a task, checked: the one definition that every door uses (page, REST, code)."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from db.schedules import Cron, Manual, Once, Schedule, ScheduleError, check_cron, check_zone
from db.states import Backoff, Kind, Misfire, OnCrash, Overlap

MAX_NAME = 200
MAX_COMMAND = 64 * 1024
MAX_JSON = 256 * 1024
MAX_SECONDS = 366 * 24 * 3600
MAX_TAGS = 50
DEFAULT_WORK_POOL = "default"

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_ESCAPED_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")
_EXPECT_STATUS = re.compile(r"([1-5]xx|[1-5]\d\d)(,([1-5]xx|[1-5]\d\d))*\Z")


def _printable(value: str) -> str:
    """One line, not blank, without control or invisible formatting characters."""
    value = value.strip()
    if not value:
        raise PydanticCustomError("blank", "Must not be blank.")
    if not value.isprintable():
        raise PydanticCustomError(
            "not_printable", "Use printable characters only: no line breaks or control characters."
        )
    return value


def _without_nul(value: str) -> str:
    """PostgreSQL and exec(3) both end a text at NUL."""
    if "\0" in value:
        raise PydanticCustomError("nul", "Must not contain the NUL character.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("surrogate", "Must be valid Unicode text.") from None
    return value


def _json_size(value: Any) -> Any:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (ValueError, RecursionError):
        raise PydanticCustomError("json", "Must be JSON: finite numbers, valid text, not nested deeply.") from None
    if size > MAX_JSON:
        raise PydanticCustomError("too_long", "Must not be larger than 256 KiB as JSON.")
    if _ESCAPED_NUL.search(text):
        raise PydanticCustomError("nul", "Must not contain the NUL character.")
    return value


Name = Annotated[
    str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_without_nul), AfterValidator(_printable)
]
Tag = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_without_nul), AfterValidator(_printable)]
Text = Annotated[str, AfterValidator(_without_nul)]
JsonObject = Annotated[dict[Text, JsonValue], AfterValidator(_json_size)]
Seconds = Annotated[int, Field(ge=0, le=MAX_SECONDS)]


def _in_postgres_range(value: datetime) -> datetime:
    if not 1971 <= value.year <= 9000:
        raise PydanticCustomError("out_of_range", "Use a year from 1971 to 9000.")
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_in_postgres_range)]


class Strict(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class CronSchedule(Strict):
    """Due whenever the expression matches the wall clock of the time zone."""

    kind: Literal["cron"] = "cron"
    cron: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_without_nul)]
    """Five fields, or six with seconds last, or an alias such as `@daily`."""
    timezone: Annotated[str, Field(max_length=100), AfterValidator(_without_nul)] = "UTC"

    @field_validator("cron", "timezone")
    @classmethod
    def _fires(cls, value: str, info: Any) -> str:
        try:
            return check_cron(value) if info.field_name == "cron" else check_zone(value)
        except ScheduleError as error:
            raise PydanticCustomError("schedule", "{message}", {"message": str(error)}) from None

    def value(self) -> Schedule:
        return Cron(self.cron, self.timezone)


class OnceSchedule(Strict):
    """Due at one instant."""

    kind: Literal["once"] = "once"
    at: Instant
    run_if_past: bool = False
    """Whether an instant that has passed already is accepted, and run at once."""

    def value(self) -> Schedule:
        return Once(self.at)


class ManualSchedule(Strict):
    """Never due by itself."""

    kind: Literal["manual"] = "manual"

    def value(self) -> Schedule:
        return Manual()


ScheduleSpec = Annotated[CronSchedule | OnceSchedule | ManualSchedule, Field(discriminator="kind")]


def _named_like_variables(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if not _ENVIRONMENT_NAME.match(name):
            raise PydanticCustomError(
                "env_name", "{name} is not a variable name. Use letters, digits and _.", {"name": repr(name)}
            )
    return _json_size(env)  # type: ignore[no-any-return]


class ShellAction(Strict):
    """A command for `/bin/sh -c`."""

    command: Annotated[str, Field(min_length=1, max_length=MAX_COMMAND), AfterValidator(_without_nul)]
    env: Annotated[dict[Text, Text], AfterValidator(_named_like_variables)] = {}
    cwd: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_without_nul)] | None = None
    success_exit_codes: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1, max_length=256)] = [0]

    @field_validator("command")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise PydanticCustomError("blank", "Must not be blank.")
        return value


class HttpAction(Strict):
    """An HTTP request, sent with an `Idempotency-Key` of task and due time."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "POST"
    url: Annotated[str, Field(min_length=1, max_length=8192), AfterValidator(_without_nul)]
    headers: Annotated[dict[Text, Text], AfterValidator(_json_size)] = {}
    body: Annotated[str, Field(max_length=MAX_JSON), AfterValidator(_without_nul)] | None = None
    json_body: Annotated[JsonValue, AfterValidator(_json_size), Field(alias="json")] = None
    expect_status: Annotated[str, Field(max_length=200), AfterValidator(_without_nul)] = "2xx"
    """Codes and classes of codes that count as success, such as `2xx` or `200,204`."""
    follow_redirects: bool = True
    verify_tls: bool = True

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        try:
            TypeAdapter(AnyHttpUrl).validate_python(value)
        except ValidationError:
            raise PydanticCustomError("url", "Must be a URL that starts with http:// or https://.") from None
        return value

    @field_validator("headers")
    @classmethod
    def _header_lines(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _HEADER_NAME.match(name) or not text.isascii() or not (text + " ").isprintable():
                raise PydanticCustomError("header", "{name} is not a valid header.", {"name": repr(name)})
        return value

    @field_validator("expect_status")
    @classmethod
    def _codes(cls, value: str) -> str:
        folded = value.replace(" ", "").lower()
        if not _EXPECT_STATUS.match(folded):
            raise PydanticCustomError("expect_status", "Use codes or classes, such as 2xx or 200,204.")
        return folded

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.body is not None and self.json_body is not None:
            raise PydanticCustomError("two_bodies", "Give body or json, not both.")
        return self


def _importable_path(value: str) -> str:
    if not _CALLABLE.match(value):
        raise PydanticCustomError("callable", "Write it as package.module:name.")
    return value


ImportPath = Annotated[
    str, Field(min_length=3, max_length=500), AfterValidator(_importable_path), AfterValidator(_without_nul)
]


class PythonAction(Strict):
    """A function that can be imported on the worker, called with keyword arguments."""

    callable: ImportPath
    kwargs: JsonObject = {}


class FlowAction(Strict):
    """A Prefect flow that can be imported on the worker."""

    entrypoint: Annotated[str, Field(min_length=3, max_length=500), AfterValidator(_without_nul)]
    parameters: JsonObject = {}


def _distinct(tags: list[str]) -> list[str]:
    return sorted(set(tags))


class _Task(Strict):
    """What every kind of task has."""

    name: Name
    description: Annotated[str, Field(max_length=5000), AfterValidator(_without_nul)] = ""
    tags: Annotated[list[Tag], AfterValidator(_distinct), Field(max_length=MAX_TAGS)] = []
    schedule: ScheduleSpec
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.LATEST
    max_lateness_seconds: Seconds | None = None
    on_crash: OnCrash = OnCrash.FAIL
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    retry_delay_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600)] = 10
    retry_backoff: Backoff = Backoff.CONSTANT
    timeout_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS)] | None = 3600
    work_pool: Name = DEFAULT_WORK_POOL
    paused: bool = False

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            raise PydanticCustomError("ends_before_start", "ends_at must be later than starts_at.")
        return self


class ShellTask(_Task):
    kind: Literal[Kind.SHELL]
    action: ShellAction


class HttpTask(_Task):
    kind: Literal[Kind.HTTP]
    action: HttpAction


class PythonTask(_Task):
    kind: Literal[Kind.PYTHON]
    action: PythonAction


class FlowTask(_Task):
    kind: Literal[Kind.FLOW]
    action: FlowAction


AnyTask = ShellTask | HttpTask | PythonTask | FlowTask
TaskSpec = Annotated[AnyTask, Field(discriminator="kind")]
_SPEC: TypeAdapter[AnyTask] = TypeAdapter(TaskSpec)


class FieldError(Strict):
    """One thing that is wrong with the input: `field` is its path, such as `schedule.cron`."""

    field: str
    message: str


class InvalidTask(ValueError):
    """A task that cannot be accepted, with one error per field."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


def parse_task(document: Any) -> AnyTask:
    """A checked task from a JSON document.

    Raises:
        InvalidTask: with every field that is wrong.
    """
    try:
        return _SPEC.validate_python(document)
    except ValidationError as error:
        raise InvalidTask(field_errors(error)) from None


def check_against_clock(task: AnyTask, *, now: datetime) -> None:
    """What only the clock can tell: a once that has passed, a schedule that ends before its first due time.

    Raises:
        InvalidTask: such a task would never run.
    """
    schedule = task.schedule
    if isinstance(schedule, OnceSchedule) and schedule.at <= now and not schedule.run_if_past:
        message = "This moment has passed. Choose a later one, or set run_if_past to run it at once."
        raise InvalidTask([FieldError(field="schedule.at", message=message)])
    if task.ends_at is not None and task.ends_at <= now:
        raise InvalidTask([FieldError(field="ends_at", message="This moment has passed, so the task would never run.")])


def as_document(task: AnyTask) -> dict[str, Any]:
    """The JSON document of a task: `parse_task` of it gives the same task."""
    return task.model_dump(mode="json", by_alias=True)


def field_errors(error: ValidationError) -> list[FieldError]:
    """Pydantic's errors with the paths that a client knows, without the tags of unions."""
    return [_field_error(e) for e in error.errors()]


def _field_error(error: Any) -> FieldError:
    path = field_path(error["loc"])
    if not error["type"].startswith("union_tag"):
        message = str(error["msg"])
        return FieldError(field=path or "body", message=message if message.endswith(".") else f"{message}.")
    kinds = "cron, once or manual" if path else "shell, http, python or flow"
    return FieldError(field=f"{path}.kind".lstrip("."), message=f"Say which kind: {kinds}.")


def field_path(location: Iterable[int | str]) -> str:
    """`("shell", "schedule", "cron", "cron")` is `schedule.cron`: a kind in the path is pydantic's tag, not a field."""
    parts = [str(part) for part in location if part != "body"]
    if parts and parts[0] in set(Kind):
        parts = parts[1:]
    if len(parts) > 1 and parts[0] == "schedule" and parts[1] in ("cron", "once", "manual"):
        parts = [parts[0], *parts[2:]]
    return ".".join(parts)


def task_key(task_id: UUID, due_at: datetime) -> str:
    """What names a due time everywhere outside: the `Idempotency-Key` of HTTP tasks."""
    return f"{task_id}/{due_at.astimezone(UTC).isoformat()}"

"""What a person says about a task, checked: the one definition that every door uses (page, REST, code)."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from db.actions import FlowAction, HttpAction, PythonAction, ShellAction
from db.closures import MAX_ENTRIES, Closed, Entries, OnClosed
from db.schedules import (
    MAX_CRON,
    Cron,
    Manual,
    Once,
    Schedule,
    ScheduleError,
    check_cron,
    check_movable,
    check_zone,
    open_due_times,
)
from db.states import After, Backoff, Kind, Misfire, OnCrash, Overlap
from db.values import MAX_SECONDS, Instant, Name, Seconds, Strict, Tag, without_nul

MAX_TAGS = 50
MAX_ZONE = 100
MAX_UPSTREAM = 50
MAX_CALENDARS = 10
TASK_LABEL = "duetime.task"
"""The label of a deployment in Prefect, and so of its runs, that holds the id of the task that it is."""
ATTEMPTS = ("timeout_seconds", "retries", "retry_delay_seconds", "retry_backoff")
"""The fields that say how an action is attempted: flows of our kinds take them beside the action's own."""
DEFAULT_WORK_POOL = "default"


def _distinct(names: list[str]) -> list[str]:
    return sorted(set(names))


def _is_empty(value: Any) -> bool:
    return not value


class CronSchedule(Strict):
    """Due whenever the expression matches the wall clock of the time zone."""

    kind: Literal["cron"] = "cron"
    cron: Annotated[str, Field(min_length=1, max_length=MAX_CRON), AfterValidator(without_nul)]
    """Five fields, or six with seconds last, or an alias such as `@daily`."""
    timezone: Annotated[str, Field(max_length=MAX_ZONE), AfterValidator(without_nul)] = "UTC"
    calendars: Annotated[
        list[Name], AfterValidator(_distinct), Field(max_length=MAX_CALENDARS, exclude_if=_is_empty)
    ] = []
    """The names of those that say when it is closed."""
    on_closed: Annotated[OnClosed, Field(exclude_if=lambda value: value is OnClosed.SKIP)] = OnClosed.SKIP
    closed: Annotated[Entries, Field(max_length=MAX_CALENDARS * MAX_ENTRIES, exclude_if=_is_empty)] = ()
    """What its calendars say: written with each version of the task, whatever a request says."""

    @field_validator("cron", "timezone")
    @classmethod
    def _fires(cls, value: str, info: Any) -> str:
        try:
            return check_cron(value) if info.field_name == "cron" else check_zone(value)
        except ScheduleError as error:
            raise PydanticCustomError("schedule", "{message}", {"message": str(error)}) from None

    @field_validator("on_closed")
    @classmethod
    def _moves(cls, value: OnClosed, info: Any) -> OnClosed:
        try:
            if value is not OnClosed.SKIP and "cron" in info.data:
                check_movable(info.data["cron"])
        except ScheduleError as error:
            raise PydanticCustomError("schedule", "{message}", {"message": str(error)}) from None
        return value

    def value(self) -> Schedule:
        return Cron(self.cron, self.timezone, Closed(self.closed, self.on_closed) if self.closed else None)


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


AnySchedule = CronSchedule | OnceSchedule | ManualSchedule
ScheduleSpec = Annotated[AnySchedule, Field(discriminator="kind")]
_SCHEDULE: TypeAdapter[AnySchedule] = TypeAdapter(ScheduleSpec)


class Upstream(Strict):
    """A task whose runs this one follows."""

    task_id: UUID
    on: After = After.SUCCEEDED


class _Task(Strict):
    """What every kind of task has."""

    name: Name
    description: Annotated[str, Field(max_length=5000), AfterValidator(without_nul)] = ""
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
    after: Annotated[list[Upstream], Field(max_length=MAX_UPSTREAM)] = []
    """It also runs whenever a run of one of these ends so."""
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
_ENTRIES: TypeAdapter[Entries] = TypeAdapter(Annotated[Entries, Field(max_length=MAX_ENTRIES)])


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
    """What only the clock can tell: a once that has passed, a schedule without a due time while it is in force.

    Raises:
        InvalidTask: such a task would never run.
    """
    schedule = task.schedule
    if isinstance(schedule, OnceSchedule) and schedule.at <= now and not schedule.run_if_past:
        message = "This moment has passed. Choose a later one, or set run_if_past to run it at once."
        raise InvalidTask([FieldError(field="schedule.at", message=message)])
    if task.ends_at is not None and task.ends_at <= now:
        raise InvalidTask([FieldError(field="ends_at", message="This moment has passed, so the task would never run.")])
    if not isinstance(schedule, ManualSchedule) and not (isinstance(schedule, OnceSchedule) and schedule.at <= now):
        _check_due_while_in_force(task, now=now)


def _check_due_while_in_force(task: AnyTask, *, now: datetime) -> None:
    upcoming = open_due_times(task.schedule.value(), after=now, starts_at=task.starts_at, ends_at=task.ends_at)
    if next(upcoming, None) is None:
        field = "ends_at" if task.ends_at is not None else "starts_at" if task.starts_at is not None else "schedule"
        message = "The schedule is never due between starts_at and ends_at, so the task would never run."
        if field == "schedule":
            message = "Its calendars are closed whenever it is due, so the task would never run."
        raise InvalidTask([FieldError(field=field, message=message)])


def closed_by(task: AnyTask, calendars: Mapping[str, Entries]) -> AnyTask:
    """The task with what its calendars say.

    Raises:
        InvalidTask: one of them is not there.
    """
    schedule = schedule_closed_by(task.schedule, calendars)
    return task if schedule is task.schedule else task.model_copy(update={"schedule": schedule})


def schedule_closed_by(schedule: AnySchedule, calendars: Mapping[str, Entries]) -> AnySchedule:
    """The same of a schedule alone.

    Raises:
        InvalidTask: a calendar is not there.
    """
    if not isinstance(schedule, CronSchedule) or not (schedule.calendars or schedule.closed):
        return schedule
    missing = [name for name in schedule.calendars if name not in calendars]
    if missing:
        message = f"There is no calendar named {missing[0]!r}."
        raise InvalidTask([FieldError(field="schedule.calendars", message=message)])
    closed = tuple(entry for name in schedule.calendars for entry in calendars[name])
    return schedule.model_copy(update={"closed": closed})


def schedule_of(document: Any) -> Schedule:
    """The schedule that a member `schedule` of a stored document says."""
    spec: AnySchedule = _SCHEDULE.validate_python(document)
    return spec.value()


def as_document(task: AnyTask) -> dict[str, Any]:
    """The JSON document of a task: `parse_task` of it gives the same task."""
    return task.model_dump(mode="json", by_alias=True)


def as_said(task: AnyTask) -> dict[str, Any]:
    """The same without what the catalogue adds to it: what its calendars say."""
    document = as_document(task)
    return {**document, "schedule": {name: value for name, value in document["schedule"].items() if name != "closed"}}


def parse_entries(document: Any) -> Entries:
    """Checked entries of a calendar from a JSON document.

    Raises:
        InvalidTask: with every field that is wrong.
    """
    try:
        return _ENTRIES.validate_python(document)
    except ValidationError as error:
        found = [FieldError(field=f"entries.{each.field}", message=each.message) for each in field_errors(error)]
        raise InvalidTask(found) from None


def field_errors(error: ValidationError) -> list[FieldError]:
    """Pydantic's errors with the paths that a client knows, without the tags of unions."""
    return [field_error(e) for e in error.errors()]


def field_error(error: Any) -> FieldError:
    """One of pydantic's errors, as `ValidationError.errors()` lists them."""
    path = field_path(error["loc"])
    if error["type"].startswith("recursion"):
        # The whole path would be hundreds of levels long.
        return FieldError(field=".".join(path.split(".")[:2]), message="Must not be nested so deeply.")
    if not error["type"].startswith("union_tag"):
        message = str(error["msg"])
        return FieldError(field=path or "body", message=message if message.endswith(".") else f"{message}.")
    kinds = "cron, once or manual" if path else "shell, http, python or flow"
    return FieldError(field=f"{path}.kind".lstrip("."), message=f"Say which kind: {kinds}.")


def field_path(location: Iterable[int | str]) -> str:
    """`("body", "shell", "schedule", "cron", "cron")` is `schedule.cron`: no place, no tags of unions."""
    parts = [str(part) for part in location]
    if parts and parts[0] == "body":
        parts = parts[1:]
    if parts and parts[0] in set(Kind):
        parts = parts[1:]
    if len(parts) > 1 and parts[0] == "schedule" and parts[1] in ("cron", "once", "manual"):
        parts = [parts[0], *parts[2:]]
    return ".".join(parts)


def task_key(task_id: UUID, due_at: datetime) -> str:
    """What names a due time everywhere outside: the `Idempotency-Key` of HTTP tasks."""
    return f"{task_id}/{due_at.astimezone(UTC).isoformat()}"

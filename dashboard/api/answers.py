"""What the API answers: one model for each thing, which is its JSON and its description alike."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from db import revisions, stored
from db.specs import FieldError, FlowTask, HttpTask, PythonTask, ShellTask, TaskSpec
from db.states import Level, Outcome, Reason, RunState, Stream, Trigger
from db.stored import Stored
from db.tables import DueTime as DueTimeRow
from db.tables import Revision
from db.tables import Run as RunRow
from db.task_views import TaskView


class Answer(BaseModel):
    """Read from a row of the catalogue."""

    model_config = ConfigDict(from_attributes=True, frozen=True, use_attribute_docstrings=True)


class Run(Answer):
    """One execution of a task."""

    id: UUID
    """Of the Prefect flow run; of the request for it, as long as Prefect has not made it."""
    task_id: UUID
    task_name: str
    task_version: int
    trigger: Trigger
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    lateness_seconds: float | None
    """Start minus due; null before the start."""
    state: RunState
    attempt: int
    worker: str | None
    exit_code: int | None
    error: str | None
    cancel_requested_at: datetime | None
    """When somebody asked for it to be cancelled."""
    waiting_for: str | None = None
    """What it waits for while it has not begun, or is between two attempts: a sentence. In lists it is not told."""


class Answered(Answer):
    """What a task is answered with besides what was sent."""

    id: UUID
    version: int
    synced_version: int | None
    """The version that Prefect has."""
    sync_error: str | None
    deployment_id: UUID | None
    next_due_at: datetime | None
    paused_until: datetime | None
    pause_reason: str | None
    last_run: Run | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    broken: str | None = None
    """Why it cannot be read any more; then its members are what can be read of it, and it is not due."""
    stored: dict[str, Any] | None = None
    """All that is stored of it, where it cannot be read."""


class AnsweredShellTask(ShellTask, Answered):
    """A task that runs a shell command."""


class AnsweredHttpTask(HttpTask, Answered):
    """A task that makes an HTTP request."""


class AnsweredPythonTask(PythonTask, Answered):
    """A task that calls a function."""


class AnsweredFlowTask(FlowTask, Answered):
    """A task that runs a Prefect flow."""


AnsweredTask = Annotated[
    AnsweredShellTask | AnsweredHttpTask | AnsweredPythonTask | AnsweredFlowTask, Field(discriminator="kind")
]


class DueTime(Answer):
    """A row of the ledger."""

    due_at: datetime
    outcome: Outcome
    reason: Reason | None
    run_id: UUID | None
    lateness_seconds: float | None
    """Start minus due; null for what was not started."""
    task_version: int


class Version(Answer):
    """A version that the task had or has."""

    version: int
    at: datetime
    actor: str
    change: str
    changed: list[str]
    """The fields that differ from the version before; empty for the first."""
    task: TaskSpec
    broken: str | None = None
    """Why it cannot be read any more; then `task` is what can be read of it."""


class Event(Answer):
    """Something that happened; what does not apply is left out."""

    id: str
    """To be sent as `Last-Event-ID`, for the events that come after this one."""
    type: str
    """`task.created`, `task.updated`, `task.deleted`, `run.<state>` or `due_time.<outcome>`."""
    at: datetime
    task_id: UUID
    task_name: str | None
    task_version: int | None
    run_id: UUID | None
    due_at: datetime | None
    state: RunState | None = None
    outcome: Outcome | None = None


class LogLine(Answer):
    """A line that a run printed, or that the system says of it."""

    id: int
    at: datetime
    level: Level
    stream: Stream
    message: str


class Lines(Answer):
    """Some lines, oldest first."""

    items: list[LogLine]
    next: str
    """To be sent as `after`, for the lines that come after these."""


class Tasks(Answer):
    """A page of tasks."""

    items: list[AnsweredTask]
    next_cursor: str | None


class Runs(Answer):
    """A page of runs."""

    items: list[Run]
    next_cursor: str | None


class DueTimes(Answer):
    """A page of the ledger."""

    items: list[DueTime]
    next_cursor: str | None


class Versions(Answer):
    """Versions of a task, newest first."""

    items: list[Version]
    next_cursor: str | None = None


class Previewed(Answer):
    """When a schedule is due."""

    words: str
    due_times: list[datetime]
    warnings: list[str]


class Health(Answer):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Part(Answer):
    """Whether a part of the system is well, and what is known of it."""

    ok: bool
    detail: str
    required: bool = True
    """Whether the system is not ready without it."""
    since: datetime | None = None
    """Since when it is not well; null where it is."""


class Readiness(Answer):
    """Whether what is due now starts."""

    ready: bool
    parts: dict[str, Part]


class Problem(Answer):
    """Why something could not be done: RFC 9457, as `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    """For a person; it says what to do about it."""
    errors: list[FieldError] | None = None
    """422: what is wrong with the input, field by field."""
    current: AnsweredTask | None = None
    """412: the task as it is now."""


def send(answer: BaseModel, status: int = 200, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The model as it is sent."""
    return JSONResponse(as_json(answer), status, headers=headers)


def as_json(answer: BaseModel) -> Any:
    """The model as a JSON document."""
    return answer.model_dump(mode="json", by_alias=True)


def task_json(view: TaskView) -> dict[str, Any]:
    """The task as it is answered."""
    said = stored.shown(Stored(view.spec, view.broken), view.document)
    held = {} if view.broken is None else {"stored": view.document}
    return {**said, **as_json(Answered.model_validate(view)), **held}


def run_json(run: RunRow, waiting_for: str | None = None) -> dict[str, Any]:
    """The run as it is answered."""
    return {**as_json(Run.model_validate(run)), "waiting_for": waiting_for}


def due_time_json(row: DueTimeRow, why: str | None) -> dict[str, Any]:
    """The row of the ledger as it is answered."""
    return {**as_json(DueTime.model_validate(row)), "why": why}


def task_headers(task: Mapping[str, Any]) -> dict[str, str]:
    """The `ETag` of a task as it is answered."""
    return {"ETag": f'"{task["version"]}"'}


def page(items: Iterable[Any], next_cursor: str | None) -> JSONResponse:
    """A page of documents."""
    return JSONResponse({"items": list(items), "next_cursor": next_cursor})


def versions(rows: Sequence[Revision], *, limit: int) -> Versions:
    """So many of the revisions, newest first, each with what it changed; the one after them begins the next page."""
    before = [*rows[1:], None]
    items = [_version(row, older) for row, older in zip(rows, before, strict=True)]
    more = len(rows) > limit
    return Versions(items=items[:limit], next_cursor=revisions.cursor_after(rows[limit - 1]) if more else None)


def _version(row: Revision, older: Revision | None) -> Version:
    here, before = _members(row), _members(older)
    changed = [] if older is None else sorted(name for name in here if here[name] != before.get(name))
    found = stored.read(row.spec)
    return Version.model_validate(
        {"version": row.version, "at": row.at, "actor": row.actor, "change": row.change, "changed": changed}
        | {"task": found.task, "broken": found.broken}
    )


def _members(row: Revision | None) -> dict[str, Any]:
    """Whatever is stored there."""
    return row.spec if row is not None and isinstance(row.spec, dict) else {}

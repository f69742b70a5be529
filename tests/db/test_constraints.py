"""The database guards the truth: nonsense is refused whoever writes it, each by the constraint that says why."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.partitions import newest_instant
from db.specs import as_document
from db.states import Trigger
from db.tables import Base, DueTime, Revision, Run, RunLog, RunRequest, Task, TaskStatus
from tests.db.conftest import NOW, a_task, create, minutes

RUN = {"task_id": uuid4(), "task_name": "backup", "task_version": 1, "trigger": "schedule", "due_at": NOW}
DUE = {"task_id": uuid4(), "due_at": NOW, "task_version": 1}
STARTED = {"run_id": uuid4(), "started_at": NOW}
LINE = {"at": NOW, "run_id": uuid4(), "level": "info", "stream": "stdout", "message": "x"}

REQUEST = {
    "id": uuid4(),
    "task_id": uuid4(),
    "requested_at": NOW,
    "actor": "x",
    "trigger": Trigger.MANUAL,
    "due_at": NOW,
    "not_before": NOW,
    "attempt": 1,
}
NONSENSE: list[tuple[type[Base], dict[str, Any], str]] = [
    (Run, RUN | {"state": "lost"}, "runs_state_known"),
    (Run, RUN | {"state": "running", "trigger": "whim"}, "runs_trigger_known"),
    (Run, RUN | {"state": "completed"}, "runs_ended_iff_final"),
    (Run, RUN | {"state": "running", "ended_at": NOW}, "runs_ended_iff_final"),
    (Run, RUN | {"state": "failed", "started_at": NOW, "ended_at": NOW - minutes(1)}, "runs_ends_after_it_starts"),
    (Run, RUN | {"state": "running", "attempt": 0}, "runs_attempts_count_from_one"),
    (Run, RUN | {"state": "running", "worker_id": uuid4()}, "runs_a_worker_has_a_name"),
    (Run, RUN | {"state": "running", "worker": "w1"}, "runs_a_worker_has_a_name"),
    (DueTime, DUE | {"outcome": "forgotten", "decided_at": NOW}, "due_times_outcome_known"),
    (DueTime, DUE | {"outcome": "cancelled"}, "due_times_decided_iff_final"),
    (DueTime, DUE | {"outcome": "pending", "decided_at": NOW}, "due_times_decided_iff_final"),
    (DueTime, DUE | STARTED | {"outcome": "running", "decided_at": NOW}, "due_times_decided_iff_final"),
    (DueTime, DUE | {"outcome": "running"}, "due_times_only_what_ran_has_a_run"),
    (DueTime, DUE | {"outcome": "ran", "decided_at": NOW}, "due_times_only_what_ran_has_a_run"),
    (DueTime, DUE | STARTED | {"outcome": "pending"}, "due_times_only_what_ran_has_a_run"),
    (DueTime, DUE | {"outcome": "running", "run_id": uuid4()}, "due_times_what_ran_was_started"),
    (DueTime, DUE | {"outcome": "skipped", "decided_at": NOW}, "due_times_not_run_for_a_reason"),
    (DueTime, DUE | {"outcome": "missed", "decided_at": NOW}, "due_times_not_run_for_a_reason"),
    (RunLog, LINE | {"level": "loud"}, "run_logs_level_known"),
    (RunLog, LINE | {"stream": "stdin"}, "run_logs_stream_known"),
    (TaskStatus, {"task_id": uuid4(), "wanted_version": 1}, "task_status_task_id_fkey"),
    (
        Revision,
        {"task_id": uuid4(), "version": 1, "at": NOW, "actor": "x", "change": "x", "spec": {}},
        "revisions_task_id_fkey",
    ),
    (RunRequest, REQUEST, "run_requests_task_id_fkey"),
    (RunRequest, REQUEST | {"rerun_of": uuid4()}, "run_requests_only_a_rerun_goes_on_with_a_run"),
]


def refused_by(session: Session, statement: Any) -> str | None:
    with pytest.raises(IntegrityError) as refused, session.begin_nested():
        session.execute(statement)
    diagnostics = getattr(refused.value.orig, "diag", None)
    return diagnostics.constraint_name if diagnostics is not None else None


@pytest.mark.parametrize(("table", "row", "constraint"), NONSENSE)
def test_a_row_that_makes_no_sense_is_refused(
    session: Session, table: type[Base], row: dict[str, Any], constraint: str
) -> None:
    identified = {"id": uuid4()} | row if table is Run else row
    assert refused_by(session, insert(table).values(**identified)) == constraint


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"version": 0}, "tasks_version_counts_from_one"),
        ({"pause_reason": "x"}, "tasks_pause_has_a_reason_only_if_paused"),
        ({"paused_until": NOW}, "tasks_pause_has_a_reason_only_if_paused"),
        ({"spec": as_document(a_task()) | {"name": ""}}, "tasks_name_length"),
        ({"spec": as_document(a_task()) | {"name": "n" * 201}}, "tasks_name_length"),
        ({"spec": as_document(a_task()) | {"kind": "magic"}}, "tasks_kind_known"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(session: Session, change: dict[str, Any], constraint: str) -> None:
    task_id = create(session)
    assert refused_by(session, update(Task).where(Task.id == task_id).values(**change)) == constraint


@pytest.mark.parametrize("missing", ["name", "kind", "paused"])
def test_a_task_without_what_every_task_has_is_refused(session: Session, missing: str) -> None:
    task_id = create(session)
    spec = {field: value for field, value in as_document(a_task()).items() if field != missing}
    assert refused_by(session, update(Task).where(Task.id == task_id).values(spec=spec)) is None


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"last_state": "lost", "last_run_id": uuid4(), "last_due_at": NOW}, "task_status_last_state_known"),
        ({"last_state": "failed"}, "task_status_all_of_the_last_run_or_nothing"),
        ({"last_run_id": uuid4(), "last_due_at": NOW}, "task_status_all_of_the_last_run_or_nothing"),
    ],
)
def test_what_is_known_of_a_last_run_is_whole(session: Session, change: dict[str, Any], constraint: str) -> None:
    task_id = create(session)
    statement = update(TaskStatus).where(TaskStatus.task_id == task_id).values(**change)
    assert refused_by(session, statement) == constraint


def test_two_tasks_never_have_the_same_deployment(session: Session) -> None:
    deployment_id = uuid4()
    first, second = (create(session, name=name) for name in "ab")
    session.execute(update(TaskStatus).where(TaskStatus.task_id == first).values(deployment_id=deployment_id))
    statement = update(TaskStatus).where(TaskStatus.task_id == second).values(deployment_id=deployment_id)
    assert refused_by(session, statement) == "task_status_by_deployment"


def test_nothing_is_written_for_months_that_have_no_partition(session: Session) -> None:
    far = newest_instant(NOW) + timedelta(days=40)
    assert refused_by(session, insert(DueTime).values(**(DUE | {"due_at": far, "outcome": "pending"}))) is None

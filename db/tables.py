"""The tables of the catalogue. What a row may be is guarded here, by the database, and not by the code that writes it.

A task is what people want (`tasks`, one row, with every earlier version in `revisions`) and what is known of it
(`task_status`). A due time is an instant at which a task's schedule was due, with what became of it. A run is one
execution, known by the id of its Prefect flow run. Due times, runs and logs are partitioned by month, so that old ones
can be dropped in milliseconds.
"""

from datetime import datetime, time
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    Sequence,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.access import Role
from db.states import FINAL_STATES, OPEN_OUTCOMES, Kind, Level, Mark, Outcome, RunState, Stream, Trigger


def _one_of(column: str, values: Any) -> str:
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    return f"{column} IN ({listed})"


_OPEN = text("outcome IN ('pending', 'running')")
NOT_RUN = frozenset(Outcome) - OPEN_OUTCOMES - {Outcome.RAN}


class Base(DeclarativeBase):
    """Instants are aware, texts have no length (the doors have limits), documents are JSONB."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text(), dict[str, Any]: JSONB()}  # noqa: RUF012


def table_of(model: type[Base]) -> Table:
    """The table itself, for statements that are made once."""
    return cast(Table, model.__table__)


class Task(Base):
    """What a person wants done, as it is now. Written by the commands of db.tasks only."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("version >= 1", name="version_counts_from_one"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint(
            "paused OR (pause_reason IS NULL AND paused_until IS NULL)", name="pause_has_a_reason_only_if_paused"
        ),
        # A name is free again once its task is in the trash.
        Index("tasks_name_taken", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
        CheckConstraint(_one_of("kind", Kind), name="kind_known"),
        # task_views.list_tasks: a page in order of name, and its search.
        Index("tasks_by_name", "name", "id", postgresql_include=["kind", "paused", "deleted_at"]),
        Index("tasks_search", "name", postgresql_using="gin", postgresql_ops={"name": "gin_trgm_ops"}),
        Index("tasks_by_tag", text("(spec -> 'tags')"), postgresql_using="gin"),
        # task_views.list_tasks of a pool, list_pools
        Index("tasks_by_pool", text("(spec ->> 'work_pool')"), postgresql_where=text("deleted_at IS NULL")),
        # task_views.list_tasks: the newest changes first.
        Index("tasks_by_change", text("updated_at DESC"), text("id DESC")),
        # chains.follow: who follows a task.
        Index(
            "tasks_after",
            text("(spec -> 'after')"),
            postgresql_using="gin",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        # calendars.follows: who follows a calendar.
        Index("tasks_by_calendar", text("((spec -> 'schedule') -> 'calendars')"), postgresql_using="gin"),
        # tasks.due_to_resume
        Index("tasks_to_resume", "paused_until", postgresql_where=text("paused_until IS NOT NULL")),
        # task_views.list_tasks, retention: the trash.
        Index("tasks_in_trash", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    spec: Mapped[dict[str, Any]]
    """The document of db.specs; the columns below are read out of it by the database itself."""
    name: Mapped[str] = mapped_column(Text, Computed("spec ->> 'name'", persisted=True))
    kind: Mapped[str] = mapped_column(Text, Computed("spec ->> 'kind'", persisted=True))
    paused: Mapped[bool] = mapped_column(Computed("(spec ->> 'paused')::boolean", persisted=True))
    pause_reason: Mapped[str | None]
    paused_until: Mapped[datetime | None]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class Trial(Base):
    """A task that is there for one test and has not gone into the trash yet. Written by db.trials only."""

    __tablename__ = "trials"

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)


class TaskTag(Base):
    """A tag of a task that is not in the trash. Written by the database itself, with the task."""

    __tablename__ = "task_tags"
    __table_args__ = (Index("task_tags_of_task", "task_id"),)

    tag: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)


class TaskStatus(Base):
    """What is known of a task: one row each, made with it."""

    __tablename__ = "task_status"
    __table_args__ = (
        CheckConstraint(_one_of("last_state", RunState), name="last_state_known"),
        CheckConstraint(
            "num_nulls(last_run_id, last_due_at, last_state) IN (0, 3)", name="all_of_the_last_run_or_nothing"
        ),
        # claims.claim, sync.tasks_of: the task of a deployment.
        Index("task_status_by_deployment", "deployment_id", unique=True),
        # sync.unsynced: what the reconciler still has to tell Prefect.
        Index("task_status_unsynced", "task_id", postgresql_where=text("NOT synced")),
        # due_times.extend: whose ledger ends soon.
        Index("task_status_by_plan", "planned_until"),
        # task_views.list_tasks: those that run or failed, in Prefect or before.
        Index("task_status_by_last_state", "last_state"),
        # task_views.list_tasks: the newest runs first.
        Index(
            "task_status_by_last_run",
            text("coalesce(last_due_at, '-infinity'::timestamptz) DESC"),
            text("task_id DESC"),
        ),
        Index("task_status_refused", "task_id", postgresql_where=text("sync_error IS NOT NULL")),
    )

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)

    # Written with the task (db.tasks): what Prefect should have.
    wanted_version: Mapped[int]

    # Written by the reconciler (db.sync): what Prefect has.
    deployment_id: Mapped[UUID | None]
    synced_version: Mapped[int | None]
    sync_error: Mapped[str | None]
    applied: Mapped[dict[str, Any] | None]
    """What Prefect was told last: a deployment that differs from it was edited in Prefect."""

    synced: Mapped[bool] = mapped_column(
        Computed("NOT (synced_version IS DISTINCT FROM wanted_version)", persisted=True)
    )
    """Whether Prefect has the task as it is."""

    # Written with the ledger (db.due_times): due times up to here have their row.
    planned_until: Mapped[datetime | None]

    # Written with the runs (db.runs): the newest run.
    last_run_id: Mapped[UUID | None]
    last_due_at: Mapped[datetime | None]
    last_state: Mapped[str | None]


class Revision(Base):
    """A version that a task had or has, who made it, and how. Never changed, never removed before its task."""

    __tablename__ = "revisions"

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    change: Mapped[str]
    """created, edited, paused, resumed, deleted or restored"""
    spec: Mapped[dict[str, Any]]
    pause_reason: Mapped[str | None]
    paused_until: Mapped[datetime | None]


class DueTime(Base):
    """A row of the ledger: an instant at which a task was due, and what became of it.

    Born pending; `running` while the run that claimed it is executed; then final for ever.
    """

    __tablename__ = "due_times"
    __table_args__ = (
        CheckConstraint(_one_of("outcome", Outcome), name="outcome_known"),
        CheckConstraint(f"(decided_at IS NULL) = ({_one_of('outcome', OPEN_OUTCOMES)})", name="decided_iff_final"),
        CheckConstraint(
            "(outcome IN ('running', 'ran', 'unknown')) = (run_id IS NOT NULL)", name="only_what_ran_has_a_run"
        ),
        CheckConstraint("(started_at IS NULL) = (run_id IS NULL)", name="what_ran_was_started"),
        CheckConstraint("outcome NOT IN ('skipped', 'missed') OR reason IS NOT NULL", name="not_run_for_a_reason"),
        # due_times.pending_until: what the worker claims and the reconciler decides.
        Index("due_times_open", "due_at", "task_id", postgresql_where=_OPEN),
        # claims.claim: which of the task's are before it, and whether one is being run.
        Index("due_times_open_of_task", "task_id", "due_at", postgresql_where=_OPEN),
        # due_times.list_due_times of an outcome, count_skipped: among half a million that ran, the few that did not.
        Index("due_times_not_run", "task_id", "outcome", "due_at", postgresql_where=text(_one_of("outcome", NOT_RUN))),
        # overview.due_times_that: what did not run, and what ran late, of all tasks.
        Index(
            "due_times_not_run_by_time",
            "outcome",
            text("due_at DESC"),
            text("task_id DESC"),
            postgresql_where=text(_one_of("outcome", NOT_RUN)),
        ),
        Index(
            "due_times_late",
            text("due_at DESC"),
            text("task_id DESC"),
            postgresql_where=text("started_at - due_at >= interval '1 second'"),
        ),
        # ledger.count_all_outcomes, overview.count_by_slice. A BRIN index would not do: what is due in weeks is written
        # beside what is due now.
        Index("due_times_by_time", "due_at"),
        {"postgresql_partition_by": "RANGE (due_at)"},
    )

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    task_version: Mapped[int]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    run_id: Mapped[UUID | None]
    started_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]

    @property
    def lateness_seconds(self) -> float | None:
        """Start minus due; None for what was not started."""
        return None if self.started_at is None else (self.started_at - self.due_at).total_seconds()


class Run(Base):
    """One execution of a task, from the moment that it is asked for or claimed."""

    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint(_one_of("state", RunState), name="state_known"),
        CheckConstraint(_one_of("trigger", Trigger), name="trigger_known"),
        CheckConstraint(f"(ended_at IS NOT NULL) = ({_one_of('state', FINAL_STATES)})", name="ended_iff_final"),
        CheckConstraint("ended_at >= started_at", name="ends_after_it_starts"),
        CheckConstraint("attempt >= 1", name="attempts_count_from_one"),
        CheckConstraint("(worker_id IS NULL) = (worker IS NULL)", name="a_worker_has_a_name"),
        # runs.list_runs: a page, newest first, of everything, of a task, of a state.
        Index("runs_newest", text("due_at DESC"), text("id DESC")),
        Index("runs_of_task", "task_id", text("due_at DESC"), text("id DESC")),
        Index("runs_by_state", "state", text("due_at DESC"), text("id DESC")),
        # runs.open_runs, runs.lost_runs, claims.claim: what somebody still has to finish.
        Index("runs_open", "task_id", "worker_id", postgresql_where=text("ended_at IS NULL")),
        # runs.unreported: what Prefect has not been told yet.
        Index("runs_unreported", "due_at", postgresql_where=text("NOT reported")),
        {"postgresql_partition_by": "RANGE (due_at)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """Of the Prefect flow run."""
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    task_id: Mapped[UUID]
    task_name: Mapped[str]
    task_version: Mapped[int]
    trigger: Mapped[str]
    state: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    noted_at: Mapped[datetime | None]
    """When the catalogue heard of the end: until then it counts as going on."""
    worker_id: Mapped[UUID | None]
    """Who claimed it: nobody else may report on it."""
    worker: Mapped[str | None]
    held_at: Mapped[datetime | None]
    """Since when that worker had it in its hands: what passed before was waiting, what passed after was starting."""
    retry_at: Mapped[datetime | None]
    """While it is retrying: when the next attempt is to start."""
    rerun_of: Mapped[UUID | None]
    """The run that this one goes on with, because its machine died."""
    exit_code: Mapped[int | None]
    error: Mapped[str | None]
    cancel_requested_at: Mapped[datetime | None]
    reported: Mapped[bool] = mapped_column(server_default=text("true"))
    """Whether Prefect has been told of the state, or told us."""

    @property
    def lateness_seconds(self) -> float | None:
        """Start minus due; None before the start."""
        return None if self.started_at is None else (self.started_at - self.due_at).total_seconds()


class RunRequest(Base):
    """A run that is wanted besides the schedule: somebody asked for it now, or the machine of another one died.

    The reconciler makes it in Prefect and notes its id.
    """

    __tablename__ = "run_requests"
    __table_args__ = (
        # run_requests.open_requests
        Index("run_requests_open", "not_before", postgresql_where=text("run_id IS NULL AND refused IS NULL")),
        Index("run_requests_by_run", "run_id"),
        # witness: the reruns of a task; retention: those of a task that is removed.
        Index("run_requests_of_task", "task_id", "due_at"),
        # A lost run goes on once, whoever notices.
        Index("run_requests_one_rerun", "rerun_of", unique=True),
        # A task follows a run once, whoever notices.
        Index(
            "run_requests_one_follows",
            "task_id",
            "after_run_id",
            unique=True,
            postgresql_where=text("trigger = 'chain'"),
        ),
        CheckConstraint("(rerun_of IS NULL) = (trigger <> 'rerun')", name="only_a_rerun_goes_on_with_a_run"),
        CheckConstraint("trigger <> 'chain' OR after_run_id IS NOT NULL", name="what_follows_follows_a_run"),
        CheckConstraint("(after_run_id IS NULL) = (after_due_at IS NULL)", name="a_run_before_has_a_due_time"),
        CheckConstraint("(action IS NULL) = (trigger <> 'test')", name="only_a_test_has_an_action"),
    )

    # Written by the door.
    id: Mapped[UUID] = mapped_column(primary_key=True)
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    requested_at: Mapped[datetime]
    actor: Mapped[str]
    trigger: Mapped[str]
    due_at: Mapped[datetime]
    not_before: Mapped[datetime]
    """The run is made at this instant: a retry has its delay."""
    attempt: Mapped[int]
    rerun_of: Mapped[UUID | None]
    after_run_id: Mapped[UUID | None]
    after_due_at: Mapped[datetime | None]
    """The run that this one follows, or the run that it goes on with."""
    action: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """What it does instead of its task's action."""

    # Written by the reconciler.
    run_id: Mapped[UUID | None]
    refused: Mapped[str | None]


LINE_NUMBERS = Sequence("run_logs_line", metadata=Base.metadata)


class RunLog(Base):
    """A line that a run printed, or that the system says of it."""

    __tablename__ = "run_logs"
    __table_args__ = (
        CheckConstraint(_one_of("level", Level), name="level_known"),
        CheckConstraint(_one_of("stream", Stream), name="stream_known"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    # The key begins as logs.list_lines asks, so that a line, of which there are most, has one index.
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    # A sequence of its own: before PostgreSQL 17 a partitioned table cannot have an identity column.
    id: Mapped[int] = mapped_column(
        BigInteger, LINE_NUMBERS, server_default=LINE_NUMBERS.next_value(), primary_key=True
    )
    at: Mapped[datetime] = mapped_column(primary_key=True)
    level: Mapped[str]
    stream: Mapped[str]
    message: Mapped[str]


class LoopFailure(Base):
    """How often the steps of a loop have failed, in all processes of a kind. Written by db.loop_failures only."""

    __tablename__ = "loop_failures"

    part: Mapped[str] = mapped_column(primary_key=True)
    """Of the system: worker, reconciler, dashboard."""
    loop: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(BigInteger)
    last_error: Mapped[str]
    last_at: Mapped[datetime]


class SetAside(Base):
    """What the reconciler could not handle, while it goes on with the rest. Written by db.set_aside only."""

    __tablename__ = "set_aside"
    __table_args__ = (Index("set_aside_of_task", "task_id"),)

    what: Mapped[str] = mapped_column(primary_key=True)
    """Its kind: a task, a due time, a run that was asked for."""
    key: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[UUID | None]
    """Whose it is, where it is a task's; a task may be gone."""
    reason: Mapped[str]
    times: Mapped[int]
    """How often it was tried."""
    since: Mapped[datetime]
    last_at: Mapped[datetime]


class AuditEntry(Base):
    """Who did what, when. Appended to, never changed."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_of_task", "task_id", text("id DESC")),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    change: Mapped[str]
    task_id: Mapped[UUID | None]
    task_name: Mapped[str | None]
    version: Mapped[int | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    address: Mapped[str | None]
    """From where, as far as it is known."""


class Account(Base):
    """Somebody who may come in. Written by db.accounts only."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint(_one_of("role", Role), name="role_known"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_length"),
        CheckConstraint("role <> 'admin' OR tags IS NULL", name="admin_is_not_limited"),
        CheckConstraint("password_hash IS NOT NULL OR subject IS NOT NULL", name="there_is_a_way_in"),
        Index("accounts_name_taken", text("lower(name)"), unique=True),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """Only tasks with one of these may be run or changed; null for all."""
    password_hash: Mapped[str | None]
    """Argon2id; null for those who sign in elsewhere."""
    subject: Mapped[str | None] = mapped_column(unique=True)
    """Who it is at the identity provider: its issuer and its own name for them."""
    role_by_provider: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the identity provider said the role: it is taken away when it does not say so any more."""
    disabled: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]


class SignIn(Base):
    """A browser that somebody signed in with, until it expires. Written by db.sign_ins only."""

    __tablename__ = "sign_ins"
    __table_args__ = (Index("sign_ins_of_account", "account_id"), Index("sign_ins_by_end", "expires_at"))

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    """SHA-256 of what the browser has."""
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    """Null for whoever signed in with the password of the installation."""
    name: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    address: Mapped[str]


class Invitation(Base):
    """A link that lets somebody make the first account, once. Written by db.sign_ins only."""

    __tablename__ = "invitations"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


class Secret(Base):
    """A value that tasks name. Written by db.secrets only, and read by workers."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[bytes]
    """By Fernet, with a key that is not in the catalogue."""
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]


class ApiKey(Base):
    """What a program comes in with. Written by db.keys only."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(_one_of("role", Role), name="role_known"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_length"),
        CheckConstraint("role <> 'admin' OR tags IS NULL", name="admin_is_not_limited"),
        Index("api_keys_of_account", "account_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    """Whose it is: it may do no more than they may. Null where nobody has an account yet."""
    role: Mapped[str]
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    """SHA-256 of the key: it has enough chance in it that nothing slower is needed."""
    hint: Mapped[str]
    """How it begins, to tell it from others."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class ProblemMark(Base):
    """What somebody said of a problem, named by its kind and task."""

    __tablename__ = "problem_marks"
    __table_args__ = (
        CheckConstraint(_one_of("mark", Mark), name="mark_known"),
        CheckConstraint("(until IS NOT NULL) = (mark = 'snoozed')", name="only_a_snooze_ends"),
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    mark: Mapped[str]
    marked_at: Mapped[datetime]
    until: Mapped[datetime | None]
    actor: Mapped[str]


class Event(Base):
    """Something that happened to a task, a run or a due time. Written by the database itself, read by db.events."""

    __tablename__ = "events"

    xid: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, server_default=text("pg_current_xact_id()::text::bigint")
    )
    """The transaction that did it: they are told in this order."""
    number: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    type: Mapped[str]
    task_id: Mapped[UUID]
    version: Mapped[int | None]
    run_id: Mapped[UUID | None]
    due_at: Mapped[datetime | None]


class ForgottenEvents(Base):
    """One row: the newest event that is not kept any more."""

    __tablename__ = "forgotten_events"
    __table_args__ = (CheckConstraint("one", name="is_one_row"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    xid: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int] = mapped_column(BigInteger)


class Webhook(Base):
    """Where events are posted to. Written by db.webhooks only."""

    __tablename__ = "webhooks"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Types of events, also as `run.*`; none for all."""
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    """Null for all tasks."""
    signing_key: Mapped[bytes]
    """Sealed."""
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime]
    xid: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int] = mapped_column(BigInteger)
    """Up to which event deliveries were made of it."""

    # Written by db.deliveries: whether it answers.
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """How many posts in a row were not answered, or by an error of its own."""
    failing_since: Mapped[datetime | None]
    probe_at: Mapped[datetime | None]
    """While it does not answer: when one delivery is tried again. The others wait."""
    error: Mapped[str | None]
    """What went wrong last."""


class Delivery(Base):
    """An event on its way to a webhook. Written by db.deliveries and db.webhooks only."""

    __tablename__ = "deliveries"
    __table_args__ = (
        # deliveries.take_due: what is to be posted to each webhook.
        Index("deliveries_waiting", "webhook_id", "next_at", "id", postgresql_where=text("next_at IS NOT NULL")),
        Index("deliveries_of_webhook", "webhook_id", text("id DESC")),
        Index("deliveries_by_age", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[str]
    type: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_at: Mapped[datetime | None]
    """When it is tried next; null when it has arrived or was given up."""
    delivered_at: Mapped[datetime | None]
    status: Mapped[int | None]
    """What was answered last."""
    error: Mapped[str | None]


class Channel(Base):
    """A way to tell people of what goes wrong. Written by db.channels only."""

    __tablename__ = "channels"
    __table_args__ = (
        CheckConstraint("after_failures >= 1", name="failures_count_from_one"),
        CheckConstraint("(quiet_from IS NULL) = (quiet_to IS NULL)", name="quiet_hours_have_both_ends"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    address: Mapped[bytes]
    """The URL of Apprise, sealed: it has the credentials in it."""
    about: Mapped[list[str]] = mapped_column(ARRAY(Text))
    after_failures: Mapped[int] = mapped_column(server_default=text("1"))
    late_seconds: Mapped[int] = mapped_column(server_default=text("60"))
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    quiet_from: Mapped[time | None]
    quiet_to: Mapped[time | None]
    timezone: Mapped[str] = mapped_column(server_default=text("'UTC'"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime]
    xid: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int] = mapped_column(BigInteger)
    """Up to which event it was told."""
    retry_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]
    """Why the last message did not go out."""
    test_asked_at: Mapped[datetime | None]


class ChainPosition(Base):
    """One row: up to which transaction what follows was asked for."""

    __tablename__ = "chain_position"
    __table_args__ = (CheckConstraint("one", name="is_one_row"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    xid: Mapped[int] = mapped_column(BigInteger)


class Calendar(Base):
    """When it is closed. Written by db.calendars only; every version of a task keeps what its calendars said."""

    __tablename__ = "calendars"
    __table_args__ = (CheckConstraint("version >= 1", name="version_counts_from_one"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    entries: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    version: Mapped[int]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]


class Worker(Base):
    """A worker process, from its start to its end. Written by itself; declared lost by the reconciler."""

    __tablename__ = "workers"
    __table_args__ = (
        CheckConstraint("(claims_fail_since IS NULL) = (claims_fail_why IS NULL)", name="claims_fail_for_a_reason"),
        Index("workers_present", "heartbeat_at", postgresql_where=text("stopped_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    work_pool: Mapped[str]
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    """The queues of the pool that it serves; none means all of them."""
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str | None]
    """Of Duetime."""
    slots: Mapped[int | None]
    """How many runs it executes at once."""
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]

    # What it says of itself with each heartbeat (workers.beat).
    holds: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    """The runs that it executes; null where it does not say."""
    claims_fail_since: Mapped[datetime | None]
    claims_fail_why: Mapped[str | None]
    loop_lag_seconds: Mapped[float | None]
    """How late its event loop was at most, within a minute."""

    # Written by people (workers.drain).
    draining_at: Mapped[datetime | None]
    """Since when it takes nothing new."""


class HousekeepingRequest(Base):
    """That what is too old be removed. Written by the task that keeps house; done, or refused, by the reconciler."""

    __tablename__ = "housekeeping_requests"
    __table_args__ = (
        CheckConstraint(
            "num_nonnulls(removed, refused) = CASE WHEN done_at IS NULL THEN 0 ELSE 1 END", name="done_or_refused"
        ),
        # retention.fulfil
        Index("housekeeping_requests_open", "requested_at", postgresql_where=text("done_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requested_at: Mapped[datetime]
    kept: Mapped[dict[str, Any]]
    """For how many days each kind of thing is kept."""
    done_at: Mapped[datetime | None]
    removed: Mapped[dict[str, Any] | None]
    refused: Mapped[str | None]


class Heartbeat(Base):
    """When a part that is one of a kind last did its work; for the reconciler, also who holds the lease."""

    __tablename__ = "heartbeats"

    part: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))


class IdempotencyKey(Base):
    """The first answer to a request that carried an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_age", "created_at"),)

    scope: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    answer: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]

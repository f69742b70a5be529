"""The closed vocabularies of the catalogue, each defined once."""

from enum import StrEnum


class Kind(StrEnum):
    """What a task executes."""

    SHELL = "shell"
    HTTP = "http"
    PYTHON = "python"
    FLOW = "flow"


class Overlap(StrEnum):
    """What to do with a due time while the task's last run is not done."""

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"
    REPLACE = "replace"


class Misfire(StrEnum):
    """What to do with due times that passed while nobody could run them."""

    LATEST = "latest"
    ALL = "all"
    SKIP = "skip"


class OnCrash(StrEnum):
    """What to do when the machine died under a run: at most once, or at least once."""

    FAIL = "fail"
    RERUN = "rerun"


class Backoff(StrEnum):
    """How the delay between attempts grows."""

    CONSTANT = "constant"
    EXPONENTIAL = "exponential"


class RunState(StrEnum):
    """Where a run is."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


WAITING_STATES = frozenset({RunState.SCHEDULED, RunState.PENDING})
ACTIVE_STATES = frozenset({RunState.RUNNING, RunState.RETRYING})
FINAL_STATES = frozenset(RunState) - WAITING_STATES - ACTIVE_STATES


IN_PREFECT = {
    RunState.RUNNING: ("RUNNING", "Running"),
    # Of the type that is going on: as a scheduled one it would be offered to every worker again.
    RunState.RETRYING: ("RUNNING", "AwaitingRetry"),
    RunState.COMPLETED: ("COMPLETED", "Completed"),
    RunState.FAILED: ("FAILED", "Failed"),
    RunState.TIMED_OUT: ("FAILED", "TimedOut"),
    RunState.CRASHED: ("CRASHED", "Crashed"),
    RunState.CANCELLED: ("CANCELLED", "Cancelled"),
}
"""What Prefect is told of a run: the type and the name of a state."""


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    CATCH_UP = "catch_up"
    RERUN = "rerun"
    PREFECT = "prefect"
    TEST = "test"
    """Asked for by somebody, with an action of its own: it says nothing of the task as it is."""
    CHAIN = "chain"
    """A run of another task ended as this one waits for."""


class After(StrEnum):
    """How a run of another task has to end for a task to follow."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    FINISHED = "finished"
    """Either of them."""


WITH_PARAMETERS = (Trigger.PREFECT, Trigger.TEST)
"""Runs of these triggers may do something else than their task: Prefect has what they were made with."""
LEDGER_TRIGGERS = (Trigger.SCHEDULE, Trigger.CATCH_UP)
"""Runs of these triggers execute a due time; the others were asked for by somebody."""


class Outcome(StrEnum):
    """What became of a due time."""

    PENDING = "pending"
    RUNNING = "running"
    RAN = "ran"
    SKIPPED = "skipped"
    MISSED = "missed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


OPEN_OUTCOMES = frozenset({Outcome.PENDING, Outcome.RUNNING})


class Reason(StrEnum):
    """Why a due time was not run, or, while it is pending, why it still waits."""

    OVERLAP = "overlap"
    LATE = "late"
    SUPERSEDED = "superseded"
    PAUSED = "paused"
    DELETED = "deleted"
    NOT_DUE = "not_due"
    WORKER_LOST = "worker_lost"
    CANCELLED = "cancelled"
    QUEUED = "queued"
    """It waits for the task's runs before it."""
    CLOSED = "closed"
    """A calendar of its task was closed, or is going to be."""
    RESUMED = "resumed"
    """It passed during a pause, and whoever ended the pause wants it run."""


def reason_of(stored: str | None) -> Reason | None:
    """The reason that a row holds; what is none, as if none were written there."""
    return Reason(stored) if stored in set(Reason) else None


class Missed(StrEnum):
    """What to do, when a pause ends, about the due times that passed meanwhile."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class ProblemKind(StrEnum):
    """What may need somebody."""

    FAILING = "failing"
    NOT_DEPLOYED = "not_deployed"
    MISSED = "missed"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    POOL = "pool"
    """Nothing takes runs of a work pool."""
    SET_ASIDE = "set_aside"
    """The reconciler cannot handle it, and goes on with the rest."""
    NOTIFICATIONS = "notifications"
    """PostgreSQL's queue of notifications fills."""


class Mark(StrEnum):
    """What people say of a problem."""

    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    MUTED = "muted"


class Stream(StrEnum):
    """Where a log line came from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    SYSTEM = "system"


class Level(StrEnum):
    """How much a log line matters."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

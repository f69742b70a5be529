"""What there is about a task's due times: its versions, its ledger, its runs, and when it was due by them. Pure.

A version is in force from just after its instant up to and including the instant of the next one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, pairwise, takewhile
from uuid import UUID

from db.schedules import Schedule, due_times, open_due_times
from db.specs import AnyTask, OnceSchedule

SAME_MOMENT = timedelta(seconds=1)
"""Two machines may note the same moment with such a difference."""
FOR_EVER = datetime.max.replace(tzinfo=UTC)
TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Version:
    """A task as it was from an instant on."""

    number: int
    at: datetime
    change: str
    spec: AnyTask
    paused_until: datetime | None = None

    @property
    def is_deleted(self) -> bool:
        return self.change == "deleted"

    def pauses(self, due_at: datetime) -> bool:
        """Whether, while this version is in force, the due time is not to be run."""
        return self.spec.paused and (self.paused_until is None or self.paused_until > due_at)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What the ledger says of a due time."""

    due_at: datetime
    task_version: int
    outcome: str
    reason: str | None = None
    run_id: UUID | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SeenRun:
    """What the catalogue has of a run."""

    id: UUID
    task_id: UUID
    due_at: datetime
    trigger: str
    state: str
    attempt: int = 1
    started_at: datetime | None = None
    ended_at: datetime | None = None
    rerun_of: UUID | None = None
    worker_stopped_at: datetime | None = None
    noted_at: datetime | None = None
    """When the catalogue heard of the end, where that was later."""
    worker_id: UUID | None = None
    """The worker of ours that claimed it."""
    worker_heard_at: datetime | None = None
    """None where there is no record of that worker any more."""
    worker_holds_it: bool | None = None
    """What that worker's last heartbeat says; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """That a run is to go on with another one, whose machine died."""

    rerun_of: UUID
    attempt: int
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Busy:
    """A time in which the task was being run; open-ended where it still is."""

    from_at: datetime
    until_at: datetime | None

    def covers(self, at: datetime) -> bool:
        return self.from_at <= at + SAME_MOMENT and (self.until_at is None or self.until_at >= at - SAME_MOMENT)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that there is about the due times of a task between two instants."""

    task_id: UUID
    history: Sequence[Version]
    """Oldest first, from the one in force at the first instant on, with the one before it."""
    rows: Sequence[LedgerRow] = ()
    runs: Sequence[SeenRun] = ()
    """Of these due times, and those that the rows name."""
    reruns: Sequence[Rerun] = ()
    busy: Sequence[Busy] = ()
    """Besides these runs."""
    oldest_open_at: datetime | None = None
    """The oldest due time of the task that is not decided, whenever that is."""
    attended: bool = True
    """Whether a worker of its pool has been there, able to take more, for long enough to run what was due."""
    watched: bool = True
    """Whether somebody has been there for long enough to decide what no worker decides."""


def due_instants(history: Sequence[Version], *, from_at: datetime, to_at: datetime) -> dict[datetime, Version]:
    """Every instant from one up to before another at which the task was due, with the version that says so."""
    due: dict[datetime, Version] = {}
    for version, start, end in spans(history):
        after, until = max(start, from_at - TICK), min(end, to_at - TICK)
        if not version.is_deleted and after < until:
            spec = version.spec
            due |= dict.fromkeys(_evaluate(spec.schedule.value(), spec.starts_at, spec.ends_at, after, until), version)
    for at, version in _all_caught_past(history):
        if from_at <= at < to_at:
            due.setdefault(at, version)
    return due


def is_due_within(history: Sequence[Version], *, after: datetime, until: datetime) -> bool:
    """Whether the task was due, its calendars open, later than one instant and not later than another."""
    for version, start, end in spans(history):
        spec, first, last = version.spec, max(start, after), min(end, until)
        if not version.is_deleted and first < last:
            upcoming = open_due_times(
                spec.schedule.value(), after=first, starts_at=spec.starts_at, ends_at=spec.ends_at
            )
            if next(upcoming, FOR_EVER) <= last:
                return True
    return any(after < at <= until for at, _ in _all_caught_past(history))


# Tasks often have the same schedule, and to evaluate it is what costs most.
@lru_cache(maxsize=256)
def _evaluate(
    schedule: Schedule, starts_at: datetime | None, ends_at: datetime | None, after: datetime, until: datetime
) -> tuple[datetime, ...]:
    instants = due_times(schedule, after=after, starts_at=starts_at, ends_at=ends_at)
    return tuple(takewhile(lambda at: at <= until, instants))


def _all_caught_past(history: Sequence[Version]) -> Iterator[tuple[datetime, Version]]:
    for before, version in pairwise(chain([None], history)):
        assert version is not None
        caught = _caught_past(before, version)
        if caught is not None:
            yield caught, version


def _caught_past(before: Version | None, version: Version) -> datetime | None:
    """The instant that had passed when the task was created, or rescheduled, with a once at it: it is run at once."""
    schedule = version.spec.schedule
    if not isinstance(schedule, OnceSchedule) or schedule.at > version.at:
        return None
    if version.change == "created" or (version.change == "edited" and before and _rescheduled(before, version)):
        return schedule.at
    return None


def _rescheduled(before: Version, after: Version) -> bool:
    return _when(before.spec) != _when(after.spec)


def _when(spec: AnyTask) -> tuple[object, ...]:
    return spec.schedule, spec.starts_at, spec.ends_at


def spans(history: Sequence[Version]) -> Iterator[tuple[Version, datetime, datetime]]:
    """Each version with the instant after which, and the instant until which, it is in force."""
    for version, following in pairwise(chain(history, [None])):
        assert version is not None
        yield version, version.at, following.at if following else FOR_EVER


def in_force(history: Sequence[Version], at: datetime, *, give_or_take: timedelta = timedelta()) -> list[Version]:
    """The version at an instant, or all that are within a time of it; none before the first."""
    return [version for version, start, end in spans(history) if start < at + give_or_take and end >= at - give_or_take]


def is_busy(evidence: Evidence, at: datetime) -> bool:
    """Whether the task was being run at an instant."""
    own = (Busy(run.started_at, run.noted_at or run.ended_at) for run in evidence.runs if run.started_at)
    return any(busy.covers(at) for busy in chain(own, evidence.busy))


def utc(at: datetime) -> str:
    """The instant as people and programs read it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")

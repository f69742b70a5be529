"""What nobody attends to: runs that no worker executes, and due times that need no worker and are not decided. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from db.specs import OnceSchedule
from db.states import ACTIVE_STATES, Misfire, Overlap, Reason
from db.testimony import Evidence, LedgerRow, SeenRun, Version, is_due_within, spans, utc

SETTLED_AFTER = timedelta(seconds=60)
"""What was due so long ago has been claimed or decided, or there is a reason why it waits."""
LOST_AFTER = timedelta(seconds=30)
"""A worker that was not heard of for so long is to be declared lost."""
TOLD_AFTER = timedelta(seconds=15)
"""What a worker has begun so long before a heartbeat is in it: a heartbeat may be written some seconds late."""
ON_TIME = timedelta(seconds=60)
"""What `misfire: skip` and `misfire: latest` leave alone."""
WAITING_FOR = frozenset({Reason.QUEUED, Reason.RESUMED})


def unheld(run: SeenRun, *, watched: bool, now: datetime) -> str | None:
    """Why nobody executes a run that is said to go on; None where its worker does, as far as is known."""
    if run.state not in ACTIVE_STATES or run.worker_id is None:
        return None
    heard_at, gone_at, its_worker = run.worker_heard_at, run.worker_stopped_at, f"the worker of its run {run.id}"
    if heard_at is None:
        return f"there is no record of {its_worker}"
    if gone_at is not None:
        return f"{its_worker} is gone since {utc(gone_at)}" if now - gone_at > SETTLED_AFTER else None
    if watched and now - heard_at > LOST_AFTER + SETTLED_AFTER:
        return f"{its_worker} was last heard of at {utc(heard_at)}, and nobody declared it lost"
    is_told = run.started_at is not None and run.started_at < heard_at - TOLD_AFTER
    if is_told and run.worker_holds_it is False:
        return f"{its_worker} does not execute it, by its heartbeat at {utc(heard_at)}"
    return None


def undecided(evidence: Evidence, row: LedgerRow, *, now: datetime) -> str | None:
    """Why a pending due time should have been decided by now, whoever serves its pool; None where it may wait."""
    if not evidence.watched or row.reason in WAITING_FOR:
        return None
    in_force = [version for version, _, end in spans(evidence.history) if end >= now - SETTLED_AFTER]
    if len(in_force) != 1:
        return None  # its task was changed meanwhile
    found = next(_grounds(evidence, in_force[0], row, now - SETTLED_AFTER), None)
    return None if found is None else f"version {in_force[0].number} {found}"


def _grounds(evidence: Evidence, version: Version, row: LedgerRow, settled: datetime) -> Iterator[str]:
    """What the version says that decided the due time before an instant."""
    spec, late = version.spec, settled - row.due_at
    if version.is_deleted:
        yield "is deleted"
    if version.pauses(settled):
        yield "is paused"
    if row.reason == Reason.CLOSED:
        yield "has a calendar that was closed then"
    if spec.max_lateness_seconds is not None and late > timedelta(seconds=spec.max_lateness_seconds):
        yield f"says max_lateness_seconds {spec.max_lateness_seconds}"
    if late > ON_TIME and spec.overlap is not Overlap.QUEUE:
        if spec.misfire is Misfire.SKIP:
            yield "says misfire skip"
        if spec.misfire is Misfire.LATEST and _is_superseded(evidence, version, row, settled):
            yield "says misfire latest, and a newer due time has passed"


def _is_superseded(evidence: Evidence, version: Version, row: LedgerRow, settled: datetime) -> bool:
    schedule = version.spec.schedule
    is_the_one = isinstance(schedule, OnceSchedule) and schedule.at == row.due_at
    return not is_the_one and is_due_within(evidence.history, after=row.due_at, until=settled)

"""What the audit compares, read from the catalogue: versions, ledger, runs, and what there was besides."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal_column, or_, select
from sqlalchemy.orm import Session, aliased

from db import heartbeats
from db.neglect import LOST_AFTER, SETTLED_AFTER
from db.specs import parse_task
from db.states import OPEN_OUTCOMES, Outcome, Reason, RunState
from db.tables import DueTime, Revision, Run, RunRequest, Worker
from db.testimony import SAME_MOMENT, Busy, Evidence, LedgerRow, Rerun, SeenRun, Version, is_busy

HEARD_WITHIN = timedelta(seconds=30)
"""A worker that was not heard of for longer may not be there."""
DEFAULT_QUEUE = "default"
"""The queue in which deployments of ours wait."""


@dataclass(frozen=True, slots=True)
class Histories:
    """The versions of each task; of those that cannot be read, why."""

    versions: Mapping[UUID, Sequence[Version]]
    unreadable: Mapping[UUID, str]


def histories(session: Session, ids: Collection[UUID], *, since: datetime) -> Histories:
    """The versions of each task from the one in force at an instant on, with the one before it."""
    earlier = aliased(Revision)
    last = select(func.max(earlier.version)).where(earlier.task_id == Revision.task_id, earlier.at < since)
    columns = (Revision.task_id, Revision.version, Revision.at, Revision.change, Revision.spec, Revision.paused_until)
    rows = session.execute(
        select(*columns)
        .where(Revision.task_id.in_(ids), Revision.version >= func.coalesce(last.scalar_subquery() - 1, 1))
        .order_by(Revision.task_id, Revision.version)
    )
    versions: dict[UUID, list[Version]] = {task_id: [] for task_id in ids}
    unreadable: dict[UUID, str] = {}
    for row in rows:
        try:
            spec = parse_task(row.spec)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other tasks are read
            unreadable[row.task_id] = f"version {row.version}: {error}"
        else:
            versions[row.task_id].append(Version(row.version, row.at, row.change, spec, row.paused_until))
    return Histories({task_id: versions[task_id] for task_id in ids if task_id not in unreadable}, unreadable)


def evidence_of(
    session: Session, histories: Mapping[UUID, Sequence[Version]], start: datetime, end: datetime, *, now: datetime
) -> Iterator[Evidence]:
    """All that there is about the due times of these tasks from an instant up to before another."""
    ids = list(histories)
    rows = _rows(session, ids, start, end)
    runs = runs_that(session, Run.task_id.in_(ids), Run.due_at >= start, Run.due_at < end)
    reruns = _reruns(session, ids, start, end)
    doubtful = [one for one in ids if any(_is_overdue(row, now) or _is_overlapped(row) for row in rows[one])]
    busy, oldest_open = _open_runs(session, doubtful), _oldest_open(session, doubtful)
    attended, watched = (_attended_pools(session, now=now) if doubtful else set()), is_watched(session, now=now)
    for task_id, history in histories.items():
        evidence = Evidence(
            task_id,
            history,
            rows=rows[task_id],
            runs=[*runs[task_id], *_strays(session, rows[task_id], runs[task_id])],
            reruns=reruns[task_id],
            busy=busy[task_id],
            oldest_open_at=oldest_open.get(task_id),
            attended=bool(history) and history[-1].spec.work_pool in attended,
            watched=watched,
        )
        yield _with_what_else_ran(session, evidence)


def _is_overdue(row: LedgerRow, now: datetime) -> bool:
    return row.outcome == Outcome.PENDING and now - row.due_at >= SETTLED_AFTER


def _is_overlapped(row: LedgerRow) -> bool:
    return row.outcome == Outcome.SKIPPED and row.reason == Reason.OVERLAP


def _rows(session: Session, ids: Collection[UUID], start: datetime, end: datetime) -> dict[UUID, list[LedgerRow]]:
    columns = (DueTime.due_at, DueTime.task_version, DueTime.outcome, DueTime.reason, DueTime.run_id)
    rows: dict[UUID, list[LedgerRow]] = defaultdict(list)
    window = (DueTime.task_id.in_(ids), DueTime.due_at >= start, DueTime.due_at < end)
    for task_id, *values in session.execute(select(DueTime.task_id, *columns, DueTime.decided_at).where(*window)):
        rows[task_id].append(LedgerRow(*values))
    return rows


def runs_that(session: Session, *conditions: ColumnElement[bool]) -> dict[UUID, list[SeenRun]]:
    columns = (Run.id, Run.task_id, Run.due_at, Run.trigger, Run.state, Run.attempt)
    times = (Run.started_at, Run.ended_at, Run.rerun_of, Worker.stopped_at, Run.noted_at)
    holder = (Run.worker_id, Worker.heartbeat_at, Run.id == func.any(Worker.holds))
    query = select(*columns, *times, *holder).outerjoin(Worker, Worker.id == Run.worker_id).where(*conditions)
    runs: dict[UUID, list[SeenRun]] = defaultdict(list)
    for row in session.execute(query):
        runs[row.task_id].append(SeenRun(*row))
    return runs


def _reruns(session: Session, ids: Collection[UUID], start: datetime, end: datetime) -> dict[UUID, list[Rerun]]:
    columns = (RunRequest.rerun_of, RunRequest.attempt, RunRequest.refused.is_not(None))
    window = (RunRequest.task_id.in_(ids), RunRequest.due_at >= start, RunRequest.due_at < end)
    query = select(RunRequest.task_id, *columns).where(*window, RunRequest.rerun_of.is_not(None))
    reruns: dict[UUID, list[Rerun]] = defaultdict(list)
    for task_id, *values in session.execute(query):
        reruns[task_id].append(Rerun(*values))
    return reruns


def _strays(session: Session, rows: Sequence[LedgerRow], runs: Sequence[SeenRun]) -> list[SeenRun]:
    """The runs that the rows name and that are not of the same due times."""
    named = {row.run_id for row in rows if row.run_id} - {run.id for run in runs}
    found = runs_that(session, Run.id.in_(named)) if named else {}
    return [run for some in found.values() for run in some]


def _attended_pools(session: Session, *, now: datetime) -> set[str]:
    """The pools in which a worker that takes runs has been there for so long that nothing need wait for one."""
    there = (Worker.stopped_at.is_(None), Worker.heartbeat_at >= now - HEARD_WITHIN)
    for_long = (Worker.started_at <= now - SETTLED_AFTER, Worker.draining_at.is_(None))
    serves = or_(Worker.queues == [], func.array_position(Worker.queues, DEFAULT_QUEUE).is_not(None))
    taken = select(func.count()).where(
        Run.worker_id == Worker.id, Run.ended_at.is_(None), Run.state == RunState.RUNNING
    )
    has_room = func.coalesce(taken.scalar_subquery() < Worker.slots, literal_column("true"))
    can_claim = Worker.claims_fail_since.is_(None)
    return set(session.scalars(select(Worker.work_pool).where(*there, *for_long, serves, has_room, can_claim)))


def _oldest_open(session: Session, ids: Collection[UUID]) -> dict[UUID, datetime]:
    """The oldest due time of each task that is not decided."""
    still_open = (DueTime.task_id.in_(ids), DueTime.outcome.in_(OPEN_OUTCOMES))
    query = select(DueTime.task_id, func.min(DueTime.due_at)).where(*still_open).group_by(DueTime.task_id)
    return {row[0]: row[1] for row in session.execute(query)}


def _open_runs(session: Session, ids: Collection[UUID]) -> dict[UUID, list[Busy]]:
    busy: dict[UUID, list[Busy]] = defaultdict(list)
    started = (Run.task_id.in_(ids), Run.ended_at.is_(None), Run.started_at.is_not(None))
    for task_id, started_at in session.execute(select(Run.task_id, Run.started_at).where(*started)):
        busy[task_id].append(Busy(started_at, None))
    return busy


def _with_what_else_ran(session: Session, evidence: Evidence) -> Evidence:
    """Adds when the task was being run besides, as far as the due times that were skipped for that depend on it."""
    for spans in (_waits_for_reruns, _long_runs):
        skipped = [row.decided_at for row in evidence.rows if row.decided_at and _is_overlapped(row)]
        unexplained = [at for at in skipped if not is_busy(evidence, at)]
        if not unexplained:
            break
        more = spans(session, evidence.task_id, min(unexplained) - SAME_MOMENT, max(unexplained) + SAME_MOMENT)
        evidence = replace(evidence, busy=[*evidence.busy, *more])
    return evidence


def _waits_for_reruns(session: Session, task_id: UUID, first: datetime, last: datetime) -> list[Busy]:
    """While a due time is handed from a machine that died to another one, it is being run, too."""
    handed_on = select(RunRequest.due_at).where(RunRequest.task_id == task_id, RunRequest.rerun_of.is_not(None))
    return _spans(
        session,
        select(DueTime.started_at, DueTime.decided_at).where(
            DueTime.task_id == task_id,
            DueTime.due_at.in_(handed_on),
            DueTime.started_at <= last,
            or_(DueTime.decided_at.is_(None), DueTime.decided_at >= first),
        ),
    )


def _long_runs(session: Session, task_id: UUID, first: datetime, last: datetime) -> list[Busy]:
    """Runs of any due time that ended later than an instant, as far as it was known, and started before another."""
    until_at = func.coalesce(Run.noted_at, Run.ended_at)
    between = (Run.due_at <= last, Run.started_at <= last, until_at >= first)
    return _spans(session, select(Run.started_at, until_at).where(Run.task_id == task_id, *between))


def _spans(session: Session, query: Any) -> list[Busy]:
    return [Busy(from_at, until_at) for from_at, until_at in session.execute(query)]


def is_watched(session: Session, *, now: datetime) -> bool:
    """False while a reconciler has just come: it needs a moment for what passed before."""
    since = heartbeats.held_since(session, heartbeats.RECONCILER, now=now)
    return since is None or now - since > LOST_AFTER + SETTLED_AFTER + SETTLED_AFTER

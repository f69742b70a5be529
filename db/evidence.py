"""The evidence for why due times went as they did, read for a page of a task's ledger with a handful of queries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, and_, case, column, func, or_, select, true, values
from sqlalchemy.dialects.postgresql import TSTZMULTIRANGE, Range
from sqlalchemy.orm import Session, aliased

from db import pools, stored
from db.due_times import PLANNED_FOR_EVER
from db.plans import plan_for_values
from db.revisions import Change
from db.schedules import closing, moved_to
from db.states import ACTIVE_STATES, Misfire, Outcome, Overlap, Reason
from db.tables import DueTime, Revision, Run, TaskStatus, Worker
from db.why import LATE_FROM, Absence, Act, Closing, Evidence, Loss, Pause, Policies, is_plain, why
from db.workers import LOST_AFTER

VERSIONS_READ = 1000
RUNS_LOOKED_THROUGH = 50
"""What a due time came upon is one of so many runs before it."""
REPORTED_WITHIN = timedelta(seconds=15)
"""A run may have ended so long before the catalogue heard of it."""


def explain(
    session: Session, task_id: UUID, rows: Sequence[DueTime], *, now: datetime, zone: str = "UTC"
) -> list[str | None]:
    """For each of these due times of one task: why it went as it did; None where it ran on time or is to come."""
    in_question = [row for row in rows if not is_plain(row, now=now)]
    found = _gather(session, task_id, in_question, now=now) if in_question else {}
    return [why(row, found[row.due_at], now=now, zone=zone) if row.due_at in found else None for row in rows]


def _gather(session: Session, task_id: UUID, rows: Sequence[DueTime], *, now: datetime) -> dict[datetime, Evidence]:
    plan_for_values(session)
    history = _history(session, task_id)
    policies = {row.due_at: history.policies_at(min(_until(row), now)) for row in rows}
    runs = _runs(session, task_id, rows)
    losses = _losses(session, runs)
    before = _runs_before(session, task_id, rows, policies)
    newer = _newer(session, task_id, rows)
    closings = _closings(session, task_id, rows)
    served = {each.work_pool for each in policies.values()}
    present = _presence(session, served, rows, now=now)
    waiting = _waiting(session, task_id, rows, served, now=now)
    return {
        row.due_at: Evidence(
            policies=policies[row.due_at],
            runs=runs.get(row.due_at, ()),
            before=waiting.running if row.outcome == Outcome.PENDING else before.get(row.due_at),
            pause=history.pause(row),
            closing=closings.get(row.due_at),
            deletion=history.deletion(row),
            setting=history.setting(row),
            newer_due_at=newer.get(row.due_at),
            absence=_absence(row, present.get(policies[row.due_at].work_pool, ()), runs.get(row.due_at, ()), now=now),
            loss=_loss(runs.get(row.due_at, ()), losses),
            has_older=waiting.oldest_due_at is not None and waiting.oldest_due_at < row.due_at,
            deployed=waiting.deployed,
            sync_error=waiting.sync_error,
            not_taken=waiting.not_taken.get(policies[row.due_at].work_pool) if row.outcome == Outcome.PENDING else None,
        )
        for row in rows
    }


def _until(row: DueTime) -> datetime:
    """When it was started or decided; a far instant while it waits."""
    return row.started_at or row.decided_at or PLANNED_FOR_EVER


@dataclass(frozen=True, slots=True)
class _Version:
    """What a version of the task says that may explain something."""

    act: Act
    change: str
    paused: bool
    pause_reason: str | None
    paused_until: datetime | None
    once_at: datetime | None
    policies: Policies


@dataclass(frozen=True, slots=True)
class _History:
    """The versions of a task, oldest first."""

    versions: Sequence[_Version]

    def policies_at(self, instant: datetime) -> Policies:
        in_force = (version.policies for version in reversed(self.versions) if version.act.at <= instant)
        return next(in_force, self.versions[0].policies)  # a moment that had passed has none of its own

    def pause(self, row: DueTime) -> Pause | None:
        """The pause between the due time and what became of it."""
        until = _until(row)
        paused = [i for i, version in enumerate(self.versions) if version.paused and version.act.at <= until]
        if not paused:
            return None
        last = first = paused[-1]
        while first > 0 and self.versions[first - 1].paused:
            first -= 1
        found = self._pause(first, last)
        over_at = min(filter(None, [found.ended.at if found.ended else None, found.until]), default=PLANNED_FOR_EVER)
        return found if over_at > row.due_at else None

    def _pause(self, first: int, last: int) -> Pause:
        end = next((version.act for version in self.versions[last:] if not version.paused), None)
        reason, until = self.versions[last].pause_reason, self.versions[last].paused_until
        return Pause(self.versions[first].act, reason, until, end)

    def deletion(self, row: DueTime) -> Act | None:
        found = (version.act for version in reversed(self.versions) if version.change == Change.DELETED)
        return next((act for act in found if act.at <= _until(row)), None)

    def setting(self, row: DueTime) -> Act | None:
        """Who asked for a moment that had passed, if it was so."""
        asked = next((version.act for version in self.versions if version.once_at == row.due_at), None)
        return asked if asked is not None and asked.at > row.due_at else None


def _history(session: Session, task_id: UUID) -> _History:
    spec = Revision.spec
    parts = {
        "overlap": spec["overlap"].astext,
        "misfire": spec["misfire"].astext,
        "max_lateness_seconds": spec["max_lateness_seconds"].as_integer(),
        "work_pool": spec["work_pool"].astext,
        "paused": spec["paused"].as_boolean(),
        "once_at": spec[("schedule", "at")].astext,
    }
    told = (Revision.at, Revision.actor, Revision.change, Revision.pause_reason, Revision.paused_until)
    rows = session.execute(
        select(*told, *(part.label(name) for name, part in parts.items()))
        .where(Revision.task_id == task_id)
        .order_by(Revision.version.desc())
        .limit(VERSIONS_READ)
    ).all()
    return _History([_version(row) for row in reversed(rows)])


def _version(row: Any) -> _Version:
    return _Version(
        act=Act(row.actor, row.at),
        change=row.change,
        paused=row.paused,
        pause_reason=row.pause_reason,
        paused_until=row.paused_until,
        once_at=datetime.fromisoformat(row.once_at) if row.once_at else None,
        policies=Policies(Overlap(row.overlap), Misfire(row.misfire), row.max_lateness_seconds, row.work_pool),
    )


def _runs(session: Session, task_id: UUID, rows: Iterable[DueTime]) -> dict[datetime, list[Run]]:
    """The runs of each due time, first to last."""
    wanted = [row.due_at for row in rows if row.run_id is not None or row.outcome == Outcome.CANCELLED]
    if not wanted:
        return {}
    query = select(Run).where(Run.task_id == task_id, Run.due_at.in_(wanted)).order_by(Run.attempt, Run.started_at)
    found: dict[datetime, list[Run]] = {}
    for run in session.scalars(query):
        found.setdefault(run.due_at, []).append(run)
    return found


def _closings(session: Session, task_id: UUID, rows: Iterable[DueTime]) -> dict[datetime, Closing]:
    """What was closed, by the versions that these due times are of."""
    closed = [row for row in rows if row.reason == Reason.CLOSED]
    if not closed:
        return {}
    query = select(Revision.version, Revision.spec["schedule"]).where(
        Revision.task_id == task_id, Revision.version.in_({row.task_version for row in closed})
    )
    schedules = {version: stored.schedule_or_none(document) for version, document in session.execute(query)}
    return {
        row.due_at: Closing(closing(schedule, row.due_at) or "", moved_to(schedule, row.due_at))
        for row in closed
        if (schedule := schedules.get(row.task_version)) is not None
    }


def _losses(session: Session, runs: Mapping[datetime, Sequence[Run]]) -> dict[UUID, Loss]:
    """The workers of these runs that fell silent; one that was stopped said so."""
    wanted = {run.worker_id for each in runs.values() for run in each if run.worker_id is not None}
    if not wanted:
        return {}
    query = select(Worker).where(Worker.id.in_(wanted), Worker.stopped_at > Worker.heartbeat_at + LOST_AFTER)
    return {worker.id: Loss(worker.name, worker.heartbeat_at) for worker in session.scalars(query)}


def _loss(runs: Sequence[Run], losses: Mapping[UUID, Loss]) -> Loss | None:
    return next((losses[run.worker_id] for run in reversed(runs) if run.worker_id and run.worker_id in losses), None)


def _runs_before(
    session: Session, task_id: UUID, rows: Iterable[DueTime], policies: Mapping[datetime, Policies]
) -> dict[datetime, Run]:
    """The run that a due time came upon when it was decided, or that ended last before it was started."""
    asked = [_search(row) for row in rows if _may_be_in_line(row, policies[row.due_at])]
    if not asked:
        return {}
    names = ("of", "due_before", "started_by", "ended_from", "ended_by")
    searched = values(*(column(name, DateTime(timezone=True)) for name in names), name="searched").data(asked)
    near = (
        select(Run)
        .where(Run.task_id == task_id, Run.due_at < searched.c.due_before, Run.due_at != searched.c.of)
        .order_by(Run.due_at.desc())
        .limit(RUNS_LOOKED_THROUGH)
        .correlate(searched)
        .lateral()
    )
    ended = func.coalesce(near.c.ended_at, PLANNED_FOR_EVER)
    last = (
        select(near)
        .where(near.c.started_at <= searched.c.started_by, ended.between(searched.c.ended_from, searched.c.ended_by))
        .order_by(ended.desc())
        .limit(1)
        .correlate(searched)
        .lateral()
    )
    query = select(searched.c.of, aliased(Run, last)).select_from(searched).join(last, true())
    return {row[0]: row[1] for row in session.execute(query)}


def _may_be_in_line(row: DueTime, policies: Policies) -> bool:
    if row.outcome == Outcome.SKIPPED:
        return row.reason == Reason.OVERLAP
    in_line = policies.overlap is Overlap.QUEUE or policies.misfire is Misfire.ALL
    return in_line and policies.overlap is not Overlap.ALLOW and row.outcome != Outcome.PENDING


def _search(row: DueTime) -> tuple[datetime, ...]:
    until = _until(row)
    if row.started_at is not None:  # it waited until that one had ended
        return row.due_at, row.due_at, until, row.due_at, until + LATE_FROM
    return row.due_at, until + LATE_FROM, until, until - REPORTED_WITHIN, PLANNED_FOR_EVER


def _newer(session: Session, task_id: UUID, rows: Iterable[DueTime]) -> dict[datetime, datetime]:
    """The newest due time that had come when each of the superseded ones was decided."""
    asked = [(row.due_at, row.decided_at) for row in rows if row.reason == Reason.SUPERSEDED]
    if not asked:
        return {}
    of, decided_at = (column(name, DateTime(timezone=True)) for name in ("of", "decided_at"))
    superseded = values(of, decided_at, name="superseded").data(asked)
    newer = (
        select(DueTime.due_at)
        .where(DueTime.task_id == task_id, DueTime.due_at > superseded.c.of)
        .where(DueTime.due_at <= superseded.c.decided_at)
        .order_by(DueTime.due_at.desc())
        .limit(1)
        .lateral()
    )
    query = select(superseded.c.of, newer.c.due_at).select_from(superseded).join(newer, true())
    return {row.of: row.due_at for row in session.execute(query)}


def _presence(
    session: Session, pools: set[str], rows: Iterable[DueTime], *, now: datetime
) -> dict[str, Sequence[Range[datetime]]]:
    """When each pool had a worker, as far as that is known: of one that fell silent, until it was last heard of."""
    if not any(_may_lack_a_worker(row) for row in rows):
        return {}
    until = case(
        (and_(Worker.stopped_at.is_(None), Worker.heartbeat_at >= now - LOST_AFTER), PLANNED_FOR_EVER),
        (or_(Worker.stopped_at.is_(None), Worker.stopped_at > Worker.heartbeat_at + LOST_AFTER), Worker.heartbeat_at),
        else_=Worker.stopped_at,
    )
    one = func.tstzrange(Worker.started_at, func.greatest(Worker.started_at, until), "[]")
    there = func.range_agg(one, type_=TSTZMULTIRANGE).label("there")
    query = select(Worker.work_pool, there).where(Worker.work_pool.in_(pools)).group_by(Worker.work_pool)
    return {row.work_pool: row.there for row in session.execute(query)}


def _may_lack_a_worker(row: DueTime) -> bool:
    if row.outcome in (Outcome.PENDING, Outcome.MISSED):
        return True
    return row.reason == Reason.SUPERSEDED or row.started_at is not None


def _absence(row: DueTime, there: Sequence[Range[datetime]], runs: Sequence[Run], *, now: datetime) -> Absence | None:
    """The longest time without a worker while this one waited; None where that is no reason, or not known."""
    if not _may_lack_a_worker(row) or (runs and runs[0].worker_id is None):
        return None  # of workers that are not ours nothing is known
    until = min(_until(row), now)
    edges = [None, *(edge for each in there for edge in (each.lower, each.upper)), None]
    gaps = [Absence(*edges[i : i + 2]) for i in range(0, len(edges), 2) if edges[i] != PLANNED_FOR_EVER]
    longest = max(gaps, key=lambda gap: _shared(gap, row.due_at, until), default=None)
    return longest if longest is not None and _shared(longest, row.due_at, until) >= LATE_FROM else None


def _shared(gap: Absence, since: datetime, until: datetime) -> timedelta:
    return min(gap.until or until, until) - max(gap.since or since, since)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What pending due times may wait for."""

    running: Run | None = None
    oldest_due_at: datetime | None = None
    deployed: bool = True
    sync_error: str | None = None
    not_taken: Mapping[str, str | None] = field(default_factory=dict)
    """Why nothing takes runs, by pool."""


def _waiting(
    session: Session, task_id: UUID, rows: Iterable[DueTime], served: Iterable[str], *, now: datetime
) -> _Waiting:
    if all(row.outcome != Outcome.PENDING for row in rows):
        return _Waiting()
    oldest = select(func.min(DueTime.due_at)).where(DueTime.task_id == task_id, DueTime.outcome == Outcome.PENDING)
    active = select(Run).where(Run.task_id == task_id, Run.ended_at.is_(None), Run.state.in_(ACTIVE_STATES))
    running = session.scalar(active.order_by(Run.started_at).limit(1))
    known = (TaskStatus.deployment_id, TaskStatus.sync_error, oldest.scalar_subquery().label("oldest_due_at"))
    status = session.execute(select(*known).where(TaskStatus.task_id == task_id)).one()
    not_taken = {name: pools.one_of(session, name, now=now).why_not() for name in served}
    return _Waiting(running, status.oldest_due_at, status.deployment_id is not None, status.sync_error, not_taken)

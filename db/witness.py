"""The independent witness: whether every due time is accounted for.

It recomputes when each task was due from the revisions that were in force, and compares with the ledger and the runs.
It shares nothing with those who write them but the evaluation of schedules.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.judgement import SETTLED_AFTER, Fault, Judgement, judge
from db.partitions import oldest_instant
from db.specs import parse_task
from db.states import OPEN_OUTCOMES, Outcome, Reason
from db.tables import DueTime, Revision, Run, RunRequest, Task, Worker
from db.testimony import SAME_MOMENT, Busy, Evidence, LedgerRow, Rerun, SeenRun, Version, is_busy

HEARD_WITHIN = timedelta(seconds=30)
"""A worker that was not heard of for longer may not be there."""
WRITTEN_AFTER = timedelta(seconds=10)
"""What was due so long ago has its row; about what is newer nothing is said."""
TASKS_AT_ONCE = 50
AT_ONCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Something that does not agree about a due time: one sentence with the evidence."""

    task_id: UUID
    task_name: str
    due_at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the due times from an instant up to before another one."""

    from_at: datetime
    to_at: datetime
    due_times: int
    accounted: int
    """Those about which everything agrees."""
    waiting: int
    """Those of them that have passed and are still to be run, for a reason."""
    discrepancies: tuple[Discrepancy, ...]


def audit(session: Session, *, from_at: datetime, to_at: datetime, now: datetime) -> Verdict:
    """The verdict on what was due from one instant up to before another, as far as anything is certain now.

    It says nothing of months that the ledger need not have any more, nor of the last seconds.
    """
    start = max(from_at, oldest_instant(now))
    end = max(start, min(to_at, now - WRITTEN_AFTER))
    due = waiting = accounted = 0
    discrepancies: list[Discrepancy] = []
    for names in _tasks(session):
        for task_id, found in _examine(session, names, start, end, now=now).items():
            due, waiting = due + found.due_times, waiting + found.waiting
            accounted += found.due_times - len({fault.due_at for fault in found.faults if fault.was_due})
            discrepancies += [Discrepancy(task_id, names[task_id], fault.due_at, fault.what) for fault in found.faults]
    return Verdict(start, end, due, accounted, waiting, tuple(discrepancies))


def _tasks(session: Session) -> Iterator[dict[UUID, str]]:
    """The names of all tasks by their ids, those in the trash too, some at a time."""
    query = select(Task.id, Task.name).order_by(Task.id).limit(TASKS_AT_ONCE)
    some = {row.id: row.name for row in session.execute(query)}
    while some:
        yield some
        some = {row.id: row.name for row in session.execute(query.where(Task.id > max(some)))}


def _examine(
    session: Session, ids: Collection[UUID], start: datetime, end: datetime, *, now: datetime
) -> dict[UUID, Judgement]:
    """The judgements on these tasks. The accused are heard twice: the ledger may move between two questions."""
    first = _judge_all(session, ids, start, end, now=now)
    accused = [task_id for task_id, found in first.items() if found.faults]
    second = _judge_all(session, accused, start, end, now=now) if accused else {}
    return first | {task_id: _confirmed(first[task_id], again) for task_id, again in second.items()}


def _confirmed(first: Judgement, second: Judgement) -> Judgement:
    return Judgement(second.due_times, second.waiting, tuple(f for f in second.faults if f in first.faults))


def _judge_all(
    session: Session, ids: Collection[UUID], start: datetime, end: datetime, *, now: datetime
) -> dict[UUID, Judgement]:
    histories = _histories(session, ids, since=start)
    found: dict[UUID, list[Judgement]] = defaultdict(list)
    while start < end:
        until = min(end, start + AT_ONCE)
        for evidence in _hear(session, histories, start, until, now=now):
            found[evidence.task_id].append(judge(evidence, from_at=start, to_at=until, now=now))
        start = until
    return {task_id: _sum(parts) for task_id, parts in found.items()}


def _sum(parts: Sequence[Judgement]) -> Judgement:
    faults: list[Fault] = [fault for part in parts for fault in part.faults]
    return Judgement(sum(p.due_times for p in parts), sum(p.waiting for p in parts), tuple(faults))


def _histories(session: Session, ids: Collection[UUID], *, since: datetime) -> dict[UUID, list[Version]]:
    """The versions of each task from the one in force at an instant on, with the one before it."""
    earlier = aliased(Revision)
    last = select(func.max(earlier.version)).where(earlier.task_id == Revision.task_id, earlier.at < since)
    columns = (Revision.task_id, Revision.version, Revision.at, Revision.change, Revision.spec, Revision.paused_until)
    rows = session.execute(
        select(*columns)
        .where(Revision.task_id.in_(ids), Revision.version >= func.coalesce(last.scalar_subquery() - 1, 1))
        .order_by(Revision.task_id, Revision.version)
    )
    histories: dict[UUID, list[Version]] = {task_id: [] for task_id in ids}
    for row in rows:
        spec = parse_task(row.spec)
        histories[row.task_id].append(Version(row.version, row.at, row.change, spec, row.paused_until))
    return histories


def _hear(
    session: Session, histories: Mapping[UUID, Sequence[Version]], start: datetime, end: datetime, *, now: datetime
) -> Iterator[Evidence]:
    """All that there is about the due times of these tasks from an instant up to before another."""
    ids = list(histories)
    rows = _rows(session, ids, start, end)
    runs = _runs(session, Run.task_id.in_(ids), Run.due_at >= start, Run.due_at < end)
    reruns = _reruns(session, ids, start, end)
    doubtful = [one for one in ids if any(_is_overdue(row, now) or _is_overlapped(row) for row in rows[one])]
    busy, oldest_open = _open_runs(session, doubtful), _oldest_open(session, doubtful)
    attended = _attended_pools(session, now=now) if doubtful else set()
    for task_id, history in histories.items():
        evidence = Evidence(
            task_id,
            history,
            rows=rows[task_id],
            runs=[*runs[task_id], *_strays(session, rows[task_id], runs[task_id])],
            reruns=reruns[task_id],
            busy=busy[task_id],
            oldest_open_at=oldest_open.get(task_id),
            attended=history[-1].spec.work_pool in attended,
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


def _runs(session: Session, *conditions: ColumnElement[bool]) -> dict[UUID, list[SeenRun]]:
    columns = (Run.id, Run.task_id, Run.due_at, Run.trigger, Run.state, Run.attempt)
    times = (Run.started_at, Run.ended_at, Run.rerun_of, Worker.stopped_at, Run.noted_at)
    query = select(*columns, *times).outerjoin(Worker, Worker.id == Run.worker_id).where(*conditions)
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
    found = _runs(session, Run.id.in_(named)) if named else {}
    return [run for some in found.values() for run in some]


def _attended_pools(session: Session, *, now: datetime) -> set[str]:
    """The pools in which a worker has been there for so long that nothing need wait for one."""
    there = (Worker.stopped_at.is_(None), Worker.heartbeat_at >= now - HEARD_WITHIN)
    return set(session.scalars(select(Worker.work_pool).where(*there, Worker.started_at <= now - SETTLED_AFTER)))


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

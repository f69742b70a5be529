"""What needs somebody: tasks that fail, that Prefect refuses, whose due times were missed, are unknown or wait.

A problem is not kept anywhere: it is there as long as what it is about. What people say of it is kept, in
`problem_marks`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from db import audit, notification_queue, pools, runs
from db.notifications import Topic, notify
from db.plans import plan_for_values
from db.states import Mark, Outcome, ProblemKind, RunState
from db.tables import DueTime, ProblemMark, Run, SetAside, Task, TaskStatus
from db.task_views import PROBLEM_STATES

MOST = 200
"""Of a kind: more than anybody looks at."""
LOOKED_BACK = 50
"""So many runs of a task are looked through for the first one that failed."""
WITHIN = timedelta(hours=24)
WAITS_FROM = timedelta(seconds=60)
"""A due time that has waited so long for a worker is a problem."""
AHEAD = timedelta(days=36500)
"""A pool that takes nothing is a problem before anything is late: whenever something of its own is due."""
MARKS_READ = 5000
TRIED = 3
"""What cannot be handled so often is a problem."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a task. `cause` is a sentence; `since` is when it began, as far as it was looked back.

    What is about no task has the name of what it is about instead.
    """

    kind: ProblemKind
    task_id: UUID | None
    task_name: str
    since: datetime
    last_at: datetime
    times: int
    cause: str
    run_id: UUID | None = None
    mark: ProblemMark | None = None

    @property
    def key(self) -> str:
        """Under which people mark it."""
        return f"{self.kind}:{self.task_id or self.task_name}"


def open_problems(session: Session, *, now: datetime) -> list[Problem]:
    """All of them, newest first, each with the mark that holds now."""
    plan_for_values(session)
    found = [
        *_failing(session),
        *_refused(session),
        *_not_run(session, Outcome.MISSED, ProblemKind.MISSED, "Missed: it was too late to run.", now=now),
        *_not_run(session, Outcome.UNKNOWN, ProblemKind.UNKNOWN, "Its worker was lost: nobody knows.", now=now),
        *_waiting(session, now=now),
        *_stopped_pools(session, now=now),
        *_full_queue(session, now=now),
        *_set_aside(session),
    ]
    marks = {mark.key: mark for mark in session.scalars(select(ProblemMark).limit(MARKS_READ))}
    marked = [replace(each, mark=_holds(marks.get(each.key), each, now=now)) for each in found]
    return sorted(marked, key=lambda each: each.last_at, reverse=True)


def _holds(mark: ProblemMark | None, problem: Problem, *, now: datetime) -> ProblemMark | None:
    """The mark, where it is about what there is now: what began after it was acknowledged is another problem."""
    if mark is None:
        return None
    match Mark(mark.mark):
        case Mark.ACKNOWLEDGED:
            return mark if mark.marked_at >= problem.since else None
        case Mark.SNOOZED:
            return mark if mark.until is not None and mark.until > now else None
        case Mark.MUTED:
            return mark


def _failing(session: Session) -> list[Problem]:
    """Tasks whose last run failed, crashed or took too long."""
    last = (
        select(Run.due_at, Run.state)
        .where(Run.task_id == TaskStatus.task_id, Run.ended_at.is_not(None))
        .order_by(Run.due_at.desc(), Run.id.desc())
        .limit(LOOKED_BACK)
        .correlate(TaskStatus)
        .subquery()
        .lateral("last")
    )
    good = func.max(last.c.due_at).filter(last.c.state == RunState.COMPLETED)
    ends = select(good.label("good")).select_from(last).correlate(TaskStatus).lateral("ends")
    again = aliased(last, name="again")
    after_good = or_(ends.c.good.is_(None), again.c.due_at > ends.c.good)
    streak = (
        select(func.min(again.c.due_at).label("since"), func.count().label("times"))
        .select_from(again)
        .where(after_good, again.c.state.in_(PROBLEM_STATES))
        .correlate(TaskStatus, ends)
        .lateral("streak")
    )
    query = (
        select(Task.id, Task.name, TaskStatus.last_run_id, TaskStatus.last_due_at, streak.c.since, streak.c.times)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .join(ends, true())
        .join(streak, true())
        .where(TaskStatus.last_state.in_(PROBLEM_STATES), Task.deleted_at.is_(None))
        .order_by(TaskStatus.last_due_at.desc())
        .limit(MOST)
    )
    rows = session.execute(query).all()
    last_runs = runs.get_many(session, [(row.last_run_id, row.last_due_at) for row in rows])
    return [
        Problem(
            ProblemKind.FAILING,
            row.id,
            row.name,
            row.since or row.last_due_at,
            row.last_due_at,
            row.times or 1,
            cause_of(last_runs.get(row.last_run_id)),
            row.last_run_id,
        )
        for row in rows
    ]


def cause_of(run: Run | None) -> str:
    """Why a run did not succeed, in its own first line, or by its exit code."""
    if run is None:
        return "Its last run did not succeed."
    if run.error and run.error.strip():
        return run.error.strip().splitlines()[0]
    if run.state == RunState.FAILED and run.exit_code is not None:
        return f"It ended with exit code {run.exit_code}."
    words = {RunState.TIMED_OUT: "It took longer than its time limit.", RunState.CRASHED: "Its worker was lost."}
    return words.get(RunState(run.state), "It failed.")


def _refused(session: Session) -> list[Problem]:
    """Tasks that Prefect does not take."""
    query = (
        select(Task.id, Task.name, Task.updated_at, TaskStatus.sync_error)
        .join(TaskStatus, TaskStatus.task_id == Task.id)
        .where(TaskStatus.sync_error.is_not(None), Task.deleted_at.is_(None))
        .limit(MOST)
    )
    return [
        Problem(ProblemKind.NOT_DEPLOYED, row.id, row.name, row.updated_at, row.updated_at, 1, row.sync_error)
        for row in session.execute(query)
    ]


def _set_aside(session: Session) -> list[Problem]:
    """What the reconciler cannot handle, by the task that it is about."""
    query = select(SetAside, Task.name).outerjoin(Task, Task.id == SetAside.task_id)
    query = (
        query.where(SetAside.times >= TRIED, Task.deleted_at.is_(None)).order_by(SetAside.last_at.desc()).limit(MOST)
    )
    found: dict[str, Problem] = {}
    for row, name in session.execute(query):
        task_id = row.task_id if name is not None else None
        about = name or f"{row.what} {row.key}"
        one = Problem(ProblemKind.SET_ASIDE, task_id, about, row.since, row.last_at, row.times, row.reason)
        found.setdefault(one.key, one)
    return list(found.values())


def _not_run(session: Session, outcome: Outcome, kind: ProblemKind, cause: str, *, now: datetime) -> list[Problem]:
    """Tasks with such due times within a day."""
    first, last = func.min(DueTime.due_at).label("first"), func.max(DueTime.due_at).label("last")
    query = (
        select(Task.id, Task.name, first, last, func.count().label("times"))
        .join(Task, Task.id == DueTime.task_id)
        .where(DueTime.outcome == outcome, DueTime.due_at > now - WITHIN, Task.deleted_at.is_(None))
        .group_by(Task.id, Task.name)
        .order_by(last.desc())
        .limit(MOST)
    )
    return [Problem(kind, row.id, row.name, row.first, row.last, row.times, cause) for row in session.execute(query)]


def _waiting(session: Session, *, now: datetime) -> list[Problem]:
    """Tasks that are due and that no worker takes."""
    first, last = func.min(DueTime.due_at).label("first"), func.max(DueTime.due_at).label("last")
    pool = Task.spec["work_pool"].astext
    query = (
        select(Task.id, Task.name, pool.label("pool"), first, last, func.count().label("times"))
        .join(Task, Task.id == DueTime.task_id)
        .where(DueTime.outcome == Outcome.PENDING, DueTime.due_at < now - WAITS_FROM, DueTime.reason.is_(None))
        .where(Task.deleted_at.is_(None), ~Task.paused)
        .group_by(Task.id, Task.name, pool)
        .order_by(last.desc())
        .limit(MOST)
    )
    rows = session.execute(query).all()
    why = {name: pools.one_of(session, name, now=now).why_not() for name in {row.pool for row in rows}}
    return [
        Problem(ProblemKind.WAITING, row.id, row.name, row.first, row.last, row.times, why[row.pool] or _late(row.pool))
        for row in rows
    ]


def _late(pool: str) -> str:
    return f"No worker has taken it in time from pool {pool}."


def _stopped_pools(session: Session, *, now: datetime) -> list[Problem]:
    """Work pools that take no runs, whether something of theirs is late already or not."""
    found = pools.stopped(session, now=now, due_before=now + AHEAD)
    oldest = select(func.min(Task.created_at)).where(Task.deleted_at.is_(None))
    of_pool = Task.spec["work_pool"].astext
    return [
        Problem(ProblemKind.POOL, None, pool.name, since, since, 1, pool.why_not() or "")
        for pool in found
        for since in [pool.since or session.scalar(oldest.where(of_pool == pool.name)) or now]
    ]


def _full_queue(session: Session, *, now: datetime) -> list[Problem]:
    """PostgreSQL's queue of notifications, when it fills: at its end nobody can write any more."""
    share = notification_queue.usage(session)
    if share < notification_queue.ALARM_SHARE:
        return []
    since = notification_queue.filling_since(session) or now
    return [Problem(ProblemKind.NOTIFICATIONS, None, "PostgreSQL", since, now, 1, notification_queue.in_words(share))]


def mark(
    session: Session, keys: Sequence[str], mark: Mark, *, until: datetime | None = None, actor: str, now: datetime
) -> None:
    """People have seen these problems, do not want to see them for a while, or ever."""
    if not keys:
        return
    values = {"mark": mark.value, "marked_at": now, "until": until, "actor": actor}
    statement = insert(ProblemMark).values([{"key": key, **values} for key in sorted(set(keys))])
    session.execute(statement.on_conflict_do_update(index_elements=["key"], set_=values))
    _record(session, keys, f"problem.{mark.value}", actor=actor, now=now)


def reopen(session: Session, keys: Sequence[str], *, actor: str, now: datetime) -> None:
    """Takes back whatever was said of these problems."""
    session.execute(delete(ProblemMark).where(ProblemMark.key.in_(keys)))
    _record(session, keys, "problem.reopened", actor=actor, now=now)


def _record(session: Session, keys: Iterable[str], change: str, *, actor: str, now: datetime) -> None:
    audit.record(session, at=now, actor=actor, change=change, details={"problems": sorted(set(keys))})
    notify(session, [Topic.TASKS])

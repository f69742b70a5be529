"""What is asked of the catalogue, with ordinary and with nasty arguments: a name for each, and how to ask it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dashboard.api import metrics
from dashboard.reads import COUNTED
from db import (
    claims,
    due_times,
    evidence,
    heartbeats,
    idempotency,
    ledger,
    logs,
    revisions,
    run_requests,
    runs,
    sightings,
    sync,
    task_views,
    tasks,
    workers,
)
from db.claims import Claimant, Offer
from db.pages import encode_cursor
from db.runs import Ending, RunKey
from db.states import Kind, Outcome, RunState, Trigger
from db.tables import DueTime, Run, RunLog, Task, TaskStatus, Worker
from db.task_views import TaskFilter, TaskOrder
from db.witness import Look, examine

PAGE = 50
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; `limited` where a person or a worker waits for the whole function."""

    name: str
    ask: Callable[[Session], Any]
    limited: bool = True
    changes: bool = False
    """Whether it is to be taken back."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the questions are about."""

    now: datetime
    """When the catalogue was made: it is asked as it was then."""
    since: datetime
    busiest: UUID
    daily: UUID
    never_run: UUID
    paused: UUID
    deleted: UUID
    often_edited: UUID
    names: Sequence[tuple[str, UUID]]
    """A task from the middle, and the last one."""
    first_names: Sequence[UUID]
    new_run: Run
    old_run: Run
    long_log: UUID
    last_line: int
    open_run: Run
    request: UUID
    worker: UUID
    pending: DueTime
    deployment: UUID
    some_runs: Sequence[UUID]


def asking(function: Callable[..., Any], *arguments: Any, **more: Any) -> Callable[[Session], Any]:
    """Asks the function with these arguments."""
    return lambda session: function(session, *arguments, **more)


def learn(session: Session) -> Known:
    """Finds in the catalogue what to ask about; takes a while."""
    now = session.execute(text("SELECT at FROM heartbeats WHERE part = 'reconciler'")).scalar_one()
    alive = "t.deleted_at IS NULL AND NOT t.paused"

    def task(words: str) -> UUID:
        found: UUID = session.execute(text(f"SELECT t.id FROM tasks t {words} LIMIT 1")).scalar_one()  # noqa: S608
        return found

    names = [_name_at(session, part) for part in (0.5, 1.0)]
    finished = select(Run).where(Run.ended_at.is_not(None), Run.trigger == Trigger.SCHEDULE)
    # The claim is asked for the oldest pending due time of a task that is deployed.
    pending = session.execute(
        select(DueTime, TaskStatus.deployment_id)
        .join(TaskStatus, TaskStatus.task_id == DueTime.task_id)
        .join(Task, Task.id == DueTime.task_id)
        .where(
            DueTime.outcome == Outcome.PENDING,
            DueTime.due_at > now,
            ~Task.paused,
            Task.spec["overlap"].astext == "allow",
        )
        .order_by(DueTime.due_at)
        .limit(1)
    ).one()
    # The longest log was written last.
    last_line = session.scalars(select(RunLog).where(RunLog.at >= now - DAY).order_by(RunLog.id.desc()).limit(1)).one()
    busiest = task(f"WHERE {alive} AND spec -> 'schedule' ->> 'cron' = '* * * * *'")
    return Known(
        now=now,
        since=session.execute(text("SELECT min(due_at) FROM due_times")).scalar_one(),
        busiest=busiest,
        daily=task(
            f"JOIN task_status ON task_id = t.id WHERE {alive} AND spec -> 'schedule' ->> 'timezone' = 'Asia/Kolkata'"
        ),
        never_run=task(f"JOIN task_status ON task_id = t.id WHERE {alive} AND last_run_id IS NULL"),
        paused=task("WHERE paused AND deleted_at IS NULL AND spec -> 'schedule' ->> 'cron' LIKE '% * * * *'"),
        deleted=task("WHERE deleted_at IS NOT NULL"),
        often_edited=task("ORDER BY version DESC"),
        names=names,
        first_names=session.scalars(
            select(Task.id).where(Task.deleted_at.is_(None)).order_by(Task.name).limit(PAGE)
        ).all(),
        new_run=session.scalars(finished.order_by(Run.due_at.desc()).limit(1)).one(),
        old_run=session.scalars(finished.order_by(Run.due_at).limit(1)).one(),
        long_log=last_line.run_id,
        last_line=last_line.id,
        open_run=session.scalars(select(Run).where(Run.ended_at.is_(None), Run.worker_id.is_not(None)).limit(1)).one(),
        request=session.execute(text("SELECT id FROM run_requests WHERE rerun_of IS NULL LIMIT 1")).scalar_one(),
        worker=session.scalars(select(Worker.id).where(Worker.stopped_at.is_(None)).limit(1)).one(),
        pending=pending.DueTime,
        deployment=pending.deployment_id,
        some_runs=session.scalars(select(Run.id).order_by(Run.due_at.desc()).limit(200)).all(),
    )


def _name_at(session: Session, part: float) -> tuple[str, UUID]:
    query = "SELECT name, id FROM tasks WHERE deleted_at IS NULL ORDER BY name, id OFFSET :skipped LIMIT 1"
    count = session.execute(text("SELECT count(*) FROM tasks WHERE deleted_at IS NULL")).scalar_one()
    row = session.execute(text(query), {"skipped": max(0, int(count * part) - 20)}).one()
    return row.name, row.id


def questions(known: Known) -> Iterator[Question]:
    """All of them."""
    for some in (_tasks, _one_task, _runs, _run, _ledger, _of_the_parts, _of_the_worker, _of_the_reconciler, _audits):
        yield from some(known)


def _tasks(known: Known) -> Iterator[Question]:
    now = known.now
    narrowed: dict[str, dict[str, Any]] = {
        "all": {},
        **{f"state {state.value}": {"state": state} for state in TaskFilter},
        **{f"kind {kind.value}": {"kind": kind} for kind in Kind},
        "search, nothing": {"search": "no such words"},
        "search, nothing, one letter": {"search": "§"},
        "search, one": {"search": "orders for Berlin 42"},
        "search, half of all": {"search": "sync"},
        "search, one letter": {"search": "e"},
        "search, two letters": {"search": "ōk"},
        "search, two digits": {"search": "42"},
        "search, capitals and umlauts": {"search": "ÜBERWEISUNGEN"},
        "search, long": {"search": "Sync the warehouse for logistics " * 5},
        "tag, half of all": {"tag": "production"},
        "tag, rare": {"tag": "only-here"},
        "tag, none": {"tag": "nobody has it"},
        "tag, kind, state and search": {
            "tag": "production", "kind": Kind.FLOW, "state": TaskFilter.FAILED, "search": "sync",
        },
        "rare state, half search": {"state": TaskFilter.RUNNING, "search": "sync"},
        "half tag, rare search": {"tag": "production", "search": "berlin 42"},
        "half search, failed": {"state": TaskFilter.FAILED, "search": "sync"},
    }  # fmt: skip
    cursors = {
        "middle page": encode_cursor(*map(str, known.names[0])),
        "last page": encode_cursor(*map(str, known.names[1])),
    }
    for name, filters in narrowed.items():
        yield Question(f"list_tasks: {name}", asking(task_views.list_tasks, **filters, limit=PAGE, now=now))
        yield Question(f"count_tasks: {name}", asking(task_views.count_tasks, **filters, at_most=COUNTED))
        for page, cursor in cursors.items():
            yield Question(
                f"list_tasks: {name}, {page}",
                asking(task_views.list_tasks, **filters, limit=PAGE, cursor=cursor, now=now),
            )
    yield Question("list_tasks: 500 of them", lambda s: task_views.list_tasks(s, limit=500, now=now), limited=False)
    for order in TaskOrder:
        yield Question(f"list_tasks: by {order}", asking(task_views.list_tasks, order=order, limit=PAGE, now=now))
    yield Question("list_tags", lambda s: task_views.list_tags(s))
    yield Question("recent_runs: of a page", lambda s: runs.recent_runs(s, known.first_names, count=16))
    yield Question("recent_runs: of the busiest", lambda s: runs.recent_runs(s, [known.busiest], count=16))
    yield Question("recent_runs: of one that never ran", lambda s: runs.recent_runs(s, [known.never_run], count=16))


def _kinds_of_tasks(known: Known) -> dict[str, UUID]:
    return {
        "busiest": known.busiest,
        "daily": known.daily,
        "never run": known.never_run,
        "paused": known.paused,
        "deleted": known.deleted,
        "edited 1,500 times": known.often_edited,
    }


def _one_task(known: Known) -> Iterator[Question]:
    now = known.now
    for name, task_id in _kinds_of_tasks(known).items():
        yield Question(f"get_task: {name}", asking(task_views.get_task, task_id, now=now))
        yield Question(f"list_revisions: {name}", asking(revisions.list_revisions, task_id, limit=12))
        yield Question(f"list_runs: of the {name}", asking(runs.list_runs, task_id=task_id, limit=60))
        yield Question(f"newest due times, explained: {name}", asking(_explained, task_id, now))
        yield Question(f"upcoming: {name}", asking(ledger.upcoming, task_id, after=now))
        yield Question(f"count_outcomes: {name}", asking(ledger.count_outcomes, task_id, since=now - DAY, until=now))
    yield Question("list_revisions: 500 of 1,500", lambda s: revisions.list_revisions(s, known.often_edited, limit=500))
    yield Question("task_by_name", lambda s: tasks.task_by_name(s, known.names[0][0]))
    yield Question("missed in a pause", lambda s: _missed(s, known.paused))


def _explained(session: Session, task_id: UUID, now: datetime, cursor: str | None = None) -> Any:
    page = ledger.newest(session, task_id, now=now, cursor=cursor)
    return evidence.explain(session, task_id, page.items, now=now)


def _missed(session: Session, task_id: UUID) -> int:
    return due_times.count_skipped(session, task_id, paused_at=revisions.paused_since(session, task_id))


def _runs(known: Known) -> Iterator[Question]:
    now = known.now
    middle = encode_cursor((known.since + (now - known.since) / 2).isoformat(), str(uuid4()))
    last = encode_cursor((known.since + timedelta(minutes=5)).isoformat(), str(uuid4()))
    busiest = known.busiest
    asked: dict[str, dict[str, Any]] = {
        "all": {},
        "all, middle page": {"cursor": middle},
        "all, last page": {"cursor": last},
        **{f"state {state.value}": {"state": state} for state in RunState},
        **{f"state {state.value}, last page": {"state": state, "cursor": last} for state in RunState},
        "of the busiest, middle page": {"task_id": busiest, "cursor": middle},
        "of the busiest, last page": {"task_id": busiest, "cursor": last},
        **{f"of the busiest, state {state.value}": {"task_id": busiest, "state": state} for state in RunState},
        "of the daily, crashed": {"task_id": known.daily, "state": RunState.CRASHED},
        "of no task": {"task_id": uuid4()},
        "a day": {"from_at": now - DAY, "to_at": now},
        "a day long ago": {"from_at": known.since, "to_at": known.since + DAY},
        "a day long ago, crashed": {"from_at": known.since, "to_at": known.since + DAY, "state": RunState.CRASHED},
        "before all": {"to_at": known.since - DAY},
        "of the busiest, an old hour": {"task_id": busiest, "from_at": known.since, "to_at": known.since + HOUR},
    }
    for name, arguments in asked.items():
        yield Question(f"list_runs: {name}", asking(runs.list_runs, **arguments))
    yield Question("list_runs: 500 of them", lambda s: runs.list_runs(s, limit=500), limited=False)


def _run(known: Known) -> Iterator[Question]:
    found = {"new": known.new_run, "old": known.old_run, "open": known.open_run}
    for name, run in found.items():
        yield Question(f"resolve: {name}", asking(run_requests.resolve, run.id))
        yield Question(f"list_lines: {name}", asking(logs.list_lines, run.id))
        yield Question(f"last_lines: {name}", asking(logs.last_lines, run.id))
    yield Question("resolve: by its request", lambda s: run_requests.resolve(s, known.request))
    yield Question("as_waiting_run", lambda s: run_requests.as_waiting_run(s, known.request))
    long, line = known.long_log, known.last_line - 3000
    yield Question("list_lines: long log, first page", lambda s: logs.list_lines(s, long))
    yield Question("list_lines: long log, later", lambda s: logs.list_lines(s, long, after=line))
    yield Question("last_lines: long log", lambda s: logs.last_lines(s, long))
    yield Question("list_lines: of no run", lambda s: logs.list_lines(s, uuid4()))


def _ledger(known: Known) -> Iterator[Question]:
    now, busiest = known.now, known.busiest
    middle, last = ((known.since + (now - known.since) * part).isoformat() for part in (0.5, 0.9999))
    asked: dict[str, dict[str, Any]] = {
        "first page": {},
        "middle page": {"cursor": encode_cursor(middle)},
        "last page": {"cursor": encode_cursor(last)},
        **{f"outcome {outcome.value}": {"outcome": outcome} for outcome in Outcome},
        "a day": {"from_at": now - DAY, "to_at": now},
        "missed, since half a year": {"outcome": Outcome.MISSED, "from_at": now - 180 * DAY},
    }
    for name, arguments in asked.items():
        yield Question(f"list_due_times: busiest, {name}", asking(due_times.list_due_times, busiest, **arguments))
    for outcome in (Outcome.UNKNOWN, Outcome.RAN):
        yield Question(
            f"list_due_times: daily, {outcome.value}",
            asking(due_times.list_due_times, known.daily, outcome=outcome),
        )
    for name, at in {"middle": middle, "first": (known.since + HOUR).isoformat()}.items():
        yield Question(f"due times, explained: busiest, {name}", asking(_explained, busiest, now, encode_cursor(at)))
    yield Question("50 skipped and missed, explained", lambda s: _explained_of(s, known))
    yield Question("count_all_outcomes: an hour", lambda s: ledger.count_all_outcomes(s, since=now - HOUR, until=now))


def _explained_of(session: Session, known: Known) -> Any:
    page = due_times.list_due_times(session, known.busiest, outcome=Outcome.SKIPPED)
    return evidence.explain(session, known.busiest, page.items, now=known.now)


def _of_the_parts(known: Known) -> Iterator[Question]:
    yield Question("metrics", lambda s: metrics.read(s, now=known.now))
    yield Question("last audit", lambda s: heartbeats.last(s, heartbeats.AUDIT))
    yield Question("workers.present", lambda s: workers.present(s, now=known.now))
    yield Question("workers.silent", lambda s: workers.silent(s, now=known.now))
    yield Question("workers.peers", lambda s: workers.peers(s, known.worker, now=known.now))
    yield Question("workers.beat", lambda s: workers.beat(s, known.worker, now=known.now), changes=True)
    yield Question("workers.is_gone", lambda s: workers.is_gone(s, known.worker))
    yield Question(
        "idempotency.first_answer",
        lambda s: idempotency.first_answer(s, scope="x", key=str(uuid4()), request={}, now=known.now),
        changes=True,
    )


def _of_the_worker(known: Known) -> Iterator[Question]:
    pending, claimant = known.pending, Claimant(known.worker, "worker")

    def offer() -> Offer:
        return Offer(uuid4(), known.deployment, pending.due_at, Trigger.SCHEDULE)

    open_run = known.open_run
    assert open_run.worker_id is not None
    key, holder = RunKey(open_run.id, open_run.due_at), open_run.worker_id
    ending = Ending(RunState.COMPLETED, known.now, exit_code=0)
    yield Question("a claim", lambda s: claims.claim(s, offer(), claimant, now=pending.due_at), changes=True)
    yield Question("the end of a run", lambda s: runs.finish(s, key, ending, worker_id=holder), changes=True)
    yield Question("cancel_requested_of", lambda s: runs.cancel_requested_of(s, known.worker))
    yield Question("held_by_workers: 1", lambda s: runs.held_by_workers(s, known.some_runs[:1]))
    yield Question("held_by_workers: 200", lambda s: runs.held_by_workers(s, known.some_runs))


def _of_the_reconciler(known: Known) -> Iterator[Question]:
    now = known.now
    offers = [(known.deployment, known.pending.due_at - timedelta(minutes=i)) for i in range(200)]
    seen = sightings.Sighting(
        Offer(known.new_run.id, known.deployment, known.new_run.due_at, Trigger.PREFECT),
        RunState.COMPLETED, known.now, known.now, None,
    )  # fmt: skip
    yield Question(
        "pending_until: 70 s", lambda s: due_times.pending_until(s, until=now + timedelta(seconds=70), now=now), False
    )
    yield Question("pending_until: nothing due", lambda s: due_times.pending_until(s, until=now, now=now))
    yield Question("extend: nothing to do", lambda s: due_times.extend(s, now=now), changes=True)
    yield Question("extend: 200", lambda s: due_times.extend(s, now=now + timedelta(minutes=6)), False, changes=True)
    yield Question("not_to_run: 200", lambda s: due_times.not_to_run(s, offers, now=now))
    yield Question("open_requests", lambda s: run_requests.open_requests(s, now=now))
    yield Question("to_cancel", lambda s: runs.to_cancel(s))
    yield Question("lost_runs", lambda s: runs.lost_runs(s))
    yield Question("unreported", lambda s: runs.unreported(s))
    yield Question("unsynced", lambda s: sync.unsynced(s))
    yield Question("not_among", lambda s: sync.not_among(s, set()), False)
    yield Question("due_to_resume", lambda s: tasks.due_to_resume(s, now=now))
    yield Question("a sighting", lambda s: sightings.observe(s, seen, now=now), changes=True)
    yield Question("of_deployments: 1", lambda s: sync.of_deployments(s, [known.deployment]))
    yield Question("reopen_waiting", lambda s: run_requests.reopen_waiting(s, now=now), changes=True)


def _audits(known: Known) -> Iterator[Question]:
    yield Question("witness: an hour of 50 tasks", lambda s: _examined(s, known, known.first_names), False)
    yield Question("witness: an hour of the busiest", lambda s: _examined(s, known, [known.busiest]), False)


def _examined(session: Session, known: Known, ids: Collection[UUID]) -> object:
    return examine(Look(session, known.now - HOUR, known.now, known.now), ids)

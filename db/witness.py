"""The independent witness: whether every due time is accounted for.

It recomputes when each task was due from the revisions that were in force, and compares with the ledger and the runs.
It shares nothing with those who write them but the evaluation of schedules.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.audit_reads import evidence_of, histories, is_watched, runs_that
from db.judgement import EXECUTING, Fault, Judgement, judge
from db.neglect import unheld
from db.partitions import oldest_instant
from db.states import ACTIVE_STATES
from db.tables import Run, Task
from db.testimony import Evidence, SeenRun

WRITTEN_AFTER = timedelta(seconds=10)
"""What was due so long ago has its row; about what is newer nothing is said."""
TASKS_AT_ONCE = 50
AT_ONCE = timedelta(hours=1)
_THINKS_LONG = text("SET LOCAL idle_in_transaction_session_timeout = '60s'")
"""Between two questions some hundred thousand due times are evaluated."""


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
    session.execute(_THINKS_LONG)
    start = max(from_at, oldest_instant(now))
    end = max(start, min(to_at, now - WRITTEN_AFTER))
    due = waiting = accounted = 0
    discrepancies: list[Discrepancy] = []
    look = Look(session, start, end, now)
    for names in _tasks(session):
        for task_id, found in examine(look, names).items():
            due, waiting = due + found.due_times, waiting + found.waiting
            accounted += found.due_times - len({fault.due_at for fault in found.faults if fault.was_due})
            discrepancies += [Discrepancy(task_id, names[task_id], fault.due_at, fault.what) for fault in found.faults]
    return Verdict(start, end, due, accounted, waiting, (*discrepancies, *_unheld(look)))


@dataclass(frozen=True, slots=True)
class Look:
    """What an audit looks at, and when."""

    session: Session
    from_at: datetime
    to_at: datetime
    now: datetime

    def judges(self, run: SeenRun) -> bool:
        """Whether the run is looked at with its due time."""
        return run.trigger in EXECUTING and self.from_at <= run.due_at < self.to_at


def _unheld(look: Look) -> list[Discrepancy]:
    """The runs besides those of the due times in question that are said to go on, and that nobody executes."""
    first = _unheld_now(look)
    again = set(_unheld_now(look)) if first else set()
    return [found for found in first if found in again]


def _unheld_now(look: Look) -> list[Discrepancy]:
    going_on = runs_that(look.session, Run.ended_at.is_(None), Run.state.in_(ACTIVE_STATES))
    others = (run for some in going_on.values() for run in some if not look.judges(run))
    watched = is_watched(look.session, now=look.now)
    found = [(run, why) for run in others if (why := unheld(run, watched=watched, now=look.now)) is not None]
    named = select(Task.id, Task.name).where(Task.id.in_({run.task_id for run, _ in found}))
    names = {row.id: row.name for row in look.session.execute(named)} if found else {}
    return [
        Discrepancy(
            run.task_id, names.get(run.task_id, "a task that was removed"), run.due_at, f"Said to go on, but {why}."
        )
        for run, why in found
    ]


def _tasks(session: Session) -> Iterator[dict[UUID, str]]:
    """The names of all tasks by their ids, those in the trash too, some at a time."""
    query = select(Task.id, Task.name).order_by(Task.id).limit(TASKS_AT_ONCE)
    some = {row.id: row.name for row in session.execute(query)}
    while some:
        yield some
        some = {row.id: row.name for row in session.execute(query.where(Task.id > max(some)))}


def examine(look: Look, ids: Collection[UUID]) -> dict[UUID, Judgement]:
    """The judgements on these tasks. The accused are heard twice: the ledger may move between two questions."""
    first = _judge_all(look, ids)
    accused = [task_id for task_id, found in first.items() if found.faults]
    second = _judge_all(look, accused) if accused else {}
    return first | {task_id: _confirmed(first[task_id], again) for task_id, again in second.items()}


def _confirmed(first: Judgement, second: Judgement) -> Judgement:
    return Judgement(second.due_times, second.waiting, tuple(f for f in second.faults if f in first.faults))


def _judge_all(look: Look, ids: Collection[UUID]) -> dict[UUID, Judgement]:
    known, start = histories(look.session, ids, since=look.from_at), look.from_at
    found: dict[UUID, list[Judgement]] = defaultdict(list)
    for task_id, why in known.unreadable.items():
        found[task_id].append(_unexamined(start, why))
    while start < look.to_at:
        until = min(look.to_at, start + AT_ONCE)
        for evidence in evidence_of(look.session, known.versions, start, until, now=look.now):
            found[evidence.task_id].append(_judged(evidence, start, until, now=look.now))
        start = until
    return {task_id: _sum(parts) for task_id, parts in found.items()}


def _judged(evidence: Evidence, start: datetime, until: datetime, *, now: datetime) -> Judgement:
    try:
        return judge(evidence, from_at=start, to_at=until, now=now)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other tasks are judged
        return _unexamined(start, f"{type(error).__name__}: {error}")


def _unexamined(at: datetime, why: str) -> Judgement:
    return Judgement(0, 0, (Fault(at, False, f"Its due times cannot be examined: {why}."),))


def _sum(parts: Sequence[Judgement]) -> Judgement:
    faults: list[Fault] = [fault for part in parts for fault in part.faults]
    return Judgement(sum(p.due_times for p in parts), sum(p.waiting for p in parts), tuple(faults))

"""Whether a work pool takes runs now, and if not, why: it has no worker, or they are drained, full or cannot claim."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from db import task_views, workers
from db.states import Outcome, Reason, RunState
from db.tables import DueTime, Run, Task, Worker

SILENT_AFTER = timedelta(seconds=15)
"""A worker that missed three heartbeats may not be there."""
DEFAULT_QUEUE = "default"
"""The queue in which deployments of ours wait."""


class Hindrance(StrEnum):
    """Why a worker that is there takes no run, in the words that follow `2 of them`."""

    DRAINED = "drained"
    SILENT = "silent"
    OTHER_QUEUES = "of other queues"
    FAILING = "unable to claim"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Member:
    """A worker that is there, as far as it matters to whoever waits for it."""

    name: str
    slots: int | None = None
    running: int = 0
    queues: Sequence[str] = ()
    drained_at: datetime | None = None
    claims_fail_since: datetime | None = None
    claims_fail_why: str | None = None
    silent_since: datetime | None = None

    @property
    def hindrance(self) -> Hindrance | None:
        """Why it takes no run; None where it does."""
        if self.drained_at is not None:
            return Hindrance.DRAINED
        if self.silent_since is not None:
            return Hindrance.SILENT
        if self.queues and DEFAULT_QUEUE not in self.queues:
            return Hindrance.OTHER_QUEUES
        if self.claims_fail_since is not None:
            return Hindrance.FAILING
        return Hindrance.FULL if self.slots is not None and self.running >= self.slots else None


@dataclass(frozen=True, slots=True)
class Pool:
    """A work pool with the workers that are there."""

    name: str
    members: Sequence[Member] = ()
    left_at: datetime | None = None
    """When its last worker was there, where none is now."""

    @property
    def takes_runs(self) -> bool:
        """Whether a run that is due now would start."""
        return any(member.hindrance is None for member in self.members)

    @property
    def is_stopped(self) -> bool:
        """Whether it takes none, for a reason that does not pass when a run ends."""
        return all(member.hindrance not in (None, Hindrance.FULL) for member in self.members)

    @property
    def since(self) -> datetime | None:
        """Since when it is stopped, as far as that is known."""
        if not self.members:
            return self.left_at
        known = (one.drained_at or one.silent_since or one.claims_fail_since for one in self.members)
        return max(filter(None, known), default=None)

    def why_not(self) -> str | None:
        """A sentence on why nothing takes its runs; None where something does."""
        if self.takes_runs:
            return None
        return f"Nothing takes runs of pool {self.name}: {self._hindrances()}."

    def _hindrances(self) -> str:
        found = Counter(member.hindrance for member in self.members if member.hindrance is not None)
        if not found:
            return f"it has no worker. Start one: prefect worker start --pool '{self.name}' --type warm"
        if len(found) > 1:
            parts = [f"{count} {'is' if count == 1 else 'are'} {each.value}" for each, count in found.items()]
            return f"of its {len(self.members)} workers {', '.join(parts)}{self._failure()}"
        [(hindrance, count)] = found.items()
        them = "its only worker is" if count == 1 else f"all {count} workers are"
        return f"{them} {hindrance.value}{self._room(hindrance)}{self._failure()}"

    def _room(self, hindrance: Hindrance) -> str:
        if hindrance is Hindrance.OTHER_QUEUES:
            return f" ({', '.join(sorted({queue for member in self.members for queue in member.queues}))})"
        if hindrance is Hindrance.FULL:
            taken, slots = sum(member.running for member in self.members), sum(m.slots or 0 for m in self.members)
            return f" ({taken} of {slots} slots are taken)"
        return ""

    def _failure(self) -> str:
        why = next((member.claims_fail_why for member in self.members if member.claims_fail_why), None)
        return f" ({why})" if why else ""


def all_of(session: Session, *, now: datetime) -> dict[str, Pool]:
    """The pools that have workers now, by name."""
    present = workers.present(session, now=now)
    taken = _taken(session)
    members: dict[str, list[Member]] = defaultdict(list)
    for one in present:
        queues, running = tuple(one.queues), taken.get(one.id, 0)
        silent_since = one.heartbeat_at if now - one.heartbeat_at > SILENT_AFTER else None
        told = (one.draining_at, one.claims_fail_since, one.claims_fail_why, silent_since)
        members[one.work_pool].append(Member(one.name, one.slots, running, queues, *told))
    return {name: Pool(name, found) for name, found in members.items()}


def one_of(session: Session, name: str, *, now: datetime) -> Pool:
    """This pool, whether it has workers or not."""
    found = all_of(session, now=now).get(name)
    return found if found is not None else Pool(name, left_at=_left_at(session, name))


def stopped(session: Session, *, now: datetime, due_before: datetime) -> list[Pool]:
    """The pools that take no runs, though tasks of theirs are due before an instant, or somebody waits for a run."""
    present = all_of(session, now=now)
    names = {*task_views.list_pools(session), *present}
    candidates = [present.get(name) or Pool(name, left_at=_left_at(session, name)) for name in sorted(names)]
    return [pool for pool in candidates if pool.is_stopped and _is_wanted(session, pool.name, due_before)]


def _taken(session: Session) -> dict[UUID | None, int]:
    """How many slots of each worker are taken: a run between two attempts has none."""
    query = select(Run.worker_id, func.count()).where(Run.ended_at.is_(None), Run.state == RunState.RUNNING)
    return {row[0]: row[1] for row in session.execute(query.group_by(Run.worker_id))}


def _left_at(session: Session, name: str) -> datetime | None:
    last = func.max(func.coalesce(Worker.stopped_at, Worker.heartbeat_at))
    return session.scalar(select(last).where(Worker.work_pool == name))


def _is_wanted(session: Session, name: str, due_before: datetime) -> bool:
    of_pool = (Task.spec["work_pool"].astext == name, Task.deleted_at.is_(None))
    due = (DueTime.task_id == Task.id, DueTime.outcome == Outcome.PENDING, DueTime.due_at < due_before)
    is_due = exists().where(*due, DueTime.reason.is_distinct_from(Reason.CLOSED), ~Task.paused, *of_pool)
    waits = (Run.task_id == Task.id, Run.ended_at.is_(None), Run.state == RunState.SCHEDULED, Run.due_at < due_before)
    return bool(session.scalar(select(or_(is_due, exists().where(*waits, *of_pool)))))

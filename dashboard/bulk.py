"""One command for many tasks: each in its own transaction, in a thread that no click interrupts, with a way back."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy.orm import Session

from dashboard.context import now
from dashboard.spreading import Proposal
from dashboard.viewer import actor
from db import audit, loops, run_requests, task_views, tasks
from db.access import Role, Visitor
from db.engine import Catalogue
from db.errors import CatalogueError
from db.specs import InvalidTask, as_document, parse_task

log = logging.getLogger(__name__)

Step = Callable[[Session, datetime], object]
Command = Callable[[Session, UUID, datetime, str], "Step | None"]
"""Does it to one task for an actor, and says how it is taken back; None where there was nothing to do.

Raises:
    CatalogueError, InvalidTask: it cannot be done, and why.
"""


@dataclass(frozen=True, slots=True)
class By:
    """Who does it, with what it takes, and from where."""

    visitor: Visitor
    takes: Role
    address: str

    def check(self, session: Session, task_id: UUID) -> None:
        """Raises:
        NotAllowed.
        """
        self.visitor.require(self.takes)
        if self.visitor.tags is not None:
            self.visitor.require_tags(tasks.tags_of(session, task_id))


REFUSALS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """A task with which it was not done, and why."""

    task_name: str
    why: str


@dataclass
class Bulk:
    """What is being done to many tasks. Written by its own thread, read by the page."""

    title: str
    total: int
    by: By
    done: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    steps_back: list[tuple[UUID, Step]] = field(default_factory=list)
    is_over: bool = False

    @property
    def at(self) -> int:
        """How many have been looked at."""
        return self.done + len(self.refusals)

    @property
    def can_be_undone(self) -> bool:
        return self.is_over and bool(self.steps_back)


def begin(catalogue: Catalogue, title: str, ids: Sequence[UUID], command: Command, *, by: By) -> Bulk:
    """Starts it; it goes on even if the page is closed."""
    bulk = Bulk(title, len(ids), by)
    loops.thread("bulk", partial(_work, catalogue, bulk, ids, command))
    return bulk


def undo(catalogue: Catalogue, earlier: Bulk) -> Bulk:
    """Takes back what was done, the last first."""
    steps = dict(reversed(earlier.steps_back))

    def command(session: Session, task_id: UUID, at: datetime, _actor: str) -> None:
        steps[task_id](session, at)

    return begin(catalogue, f"Undo: {earlier.title}", list(steps), command, by=earlier.by)


def _work(catalogue: Catalogue, bulk: Bulk, ids: Sequence[UUID], command: Command) -> None:
    audit.ADDRESS.set(bulk.by.address)
    try:
        for task_id in ids:
            _one(catalogue, bulk, task_id, command)
    finally:
        bulk.is_over = True


def _one(catalogue: Catalogue, bulk: Bulk, task_id: UUID, command: Command) -> None:
    try:
        with catalogue.transaction() as session:
            bulk.by.check(session, task_id)
            back = command(session, task_id, now(), actor(bulk.by.visitor))
    except (CatalogueError, InvalidTask) as error:
        bulk.refusals.append(Refusal(_name(catalogue, task_id), str(error)))
    except Exception:
        log.exception("A command for many tasks failed with task %s", task_id)
        bulk.refusals.append(Refusal(_name(catalogue, task_id), "Something went wrong; the log has the details."))
    else:
        bulk.done += 1
        if back is not None:
            bulk.steps_back.append((task_id, back))


def _name(catalogue: Catalogue, task_id: UUID) -> str:
    try:
        with catalogue.transaction() as session:
            return task_views.get_task(session, task_id, now=now()).spec.name
    except Exception:  # noqa: BLE001 - whatever it is, the others are looked at
        return str(task_id)


def run_now(session: Session, task_id: UUID, at: datetime, by: str) -> Step:
    request_id = run_requests.request_run(session, task_id, actor=by, now=at)
    return lambda session, at: run_requests.cancel(session, request_id, actor=by, now=at)


def pause(
    session: Session, task_id: UUID, at: datetime, by: str, *, reason: str = "", until: datetime | None = None
) -> Step | None:
    before = task_views.get_task(session, task_id, now=at)
    tasks.pause_task(session, task_id, reason=reason, until=until, actor=by, now=at)
    if not before.spec.paused:
        return lambda session, at: tasks.resume_task(session, task_id, actor=by, now=at)
    return _pause_again(before, by)


def resume(session: Session, task_id: UUID, at: datetime, by: str) -> Step | None:
    before = task_views.get_task(session, task_id, now=at)
    tasks.resume_task(session, task_id, actor=by, now=at)
    return _pause_again(before, by) if before.spec.paused else None


def _pause_again(before: task_views.TaskView, by: str) -> Step:
    """As it was paused before."""
    reason, until = before.pause_reason or "", before.paused_until
    return lambda session, at: tasks.pause_task(session, before.id, reason=reason, until=until, actor=by, now=at)


def delete(session: Session, task_id: UUID, at: datetime, by: str) -> Step:
    tasks.delete_task(session, task_id, actor=by, now=at)
    return lambda session, at: tasks.restore_task(session, task_id, actor=by, now=at)


def restore(session: Session, task_id: UUID, at: datetime, by: str) -> Step:
    tasks.restore_task(session, task_id, actor=by, now=at)
    return lambda session, at: tasks.delete_task(session, task_id, actor=by, now=at)


def move(session: Session, proposal: Proposal, at: datetime, by: str) -> Step:
    """Gives a task other minutes, as long as it is the version that was looked at."""
    _reschedule(session, proposal.task_id, proposal.after, proposal.version, at, by)
    task_id, before, version = proposal.task_id, proposal.before, proposal.version + 1
    return lambda session, at: _reschedule(session, task_id, before, version, at, by)


def _reschedule(session: Session, task_id: UUID, cron: str, version: int, at: datetime, by: str) -> None:
    document = as_document(task_views.get_task(session, task_id, now=at).sound)
    spec = parse_task({**document, "schedule": {**document["schedule"], "cron": cron}})
    tasks.replace_task(session, task_id, spec, seen_version=version, actor=by, now=at)


def tag(
    session: Session, task_id: UUID, at: datetime, by: str, *, add: Sequence[str], remove: Sequence[str]
) -> Step | None:
    """Adds and removes tags; what somebody else edits meanwhile is not touched by taking it back."""
    before = task_views.get_task(session, task_id, now=at)
    tags = [each for each in before.spec.tags if each not in remove]
    wanted = [*tags, *(each for each in add if each not in tags)]
    if sorted(wanted) == sorted(before.spec.tags):
        return None
    _retag(session, before, wanted, at, by)
    version = before.version + 1
    return lambda session, at: _tag_back(session, task_id, before.spec.tags, version, at, by)


def _retag(session: Session, task: task_views.TaskView, tags: Sequence[str], at: datetime, by: str) -> None:
    spec = parse_task({**as_document(task.sound), "tags": list(tags)})
    tasks.replace_task(session, task.id, spec, seen_version=task.version, actor=by, now=at)


def _tag_back(session: Session, task_id: UUID, tags: Sequence[str], version: int, at: datetime, by: str) -> None:
    current = task_views.get_task(session, task_id, now=at)
    spec = parse_task({**as_document(current.sound), "tags": list(tags)})
    tasks.replace_task(session, task_id, spec, seen_version=version, actor=by, now=at)

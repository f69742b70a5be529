"""What the buttons do: one command of the catalogue each, and a word on how it went."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import reads
from dashboard.doing import perform
from dashboard.viewer import viewer_zone
from db import problems, run_requests, task_views, tasks, trials, waiting, workers
from db.access import Role
from db.errors import TaskNotFound
from db.specs import AnyTask, as_document, parse_task
from db.states import After, Mark, Missed

ASKED = "_asked"
TEST_ASKED = "A test run is on its way."
DOUBLE_CLICK_SECONDS = 2.0


def run_now(task_id: UUID, action: Mapping[str, Any] | None = None) -> UUID | None:
    """Asks for a run, or for a test of another action; the answer is the request's id, under which the run is found.

    Of two clicks in a row the second changes nothing.
    """
    waits: list[str] = []

    def command(session: Session, at: datetime, by: str) -> UUID:
        waits.extend(filter(None, [waiting.of_task(session, task_id, now=at, zone=viewer_zone())]))
        return run_requests.request_run(session, task_id, action=action, actor=by, now=at)

    def said() -> str:
        word = "run" if action is None else "test run"
        return f"A {word} is asked for, and waits. {waits[0]}" if waits else f"A {word} is on its way."

    # To have it do something else is to say what is run.
    role = Role.OPERATOR if action is None else Role.EDITOR
    return _ask_once((task_id, action), lambda: perform(role, command, said, task_id))


def try_out(spec: AnyTask) -> UUID | None:
    """As `run_now`, for a test of a task that is not saved."""

    def command(session: Session, at: datetime, by: str) -> UUID:
        return trials.begin(session, spec, actor=by, now=at)

    return _ask_once(spec, lambda: perform(Role.EDITOR, command, TEST_ASKED, tags=spec.tags))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What this reader asked for last."""

    what: object
    request_id: UUID
    at: float


def _ask_once(what: object, ask: Callable[[], UUID | None]) -> UUID | None:
    before: _Asked | None = st.session_state.get(ASKED)
    if before is not None and before.what == what and monotonic() - before.at < DOUBLE_CLICK_SECONDS:
        return before.request_id
    request_id = ask()
    if request_id is not None:
        st.session_state[ASKED] = _Asked(what, request_id, monotonic())
    return request_id


def create(document: Mapping[str, Any]) -> UUID | None:
    """The new task's id."""
    spec = parse_task(document)
    return perform(
        Role.EDITOR, lambda session, at, by: tasks.create_task(session, spec, actor=by, now=at), "", tags=spec.tags
    )


def pause(task_id: UUID, *, reason: str = "", until: datetime | None = None) -> None:
    def command(session: Session, at: datetime, by: str) -> None:
        tasks.pause_task(session, task_id, reason=reason, until=until, actor=by, now=at)

    perform(Role.OPERATOR, command, "Paused.", task_id)


def resume(task_id: UUID, missed: Missed = Missed.NONE) -> None:
    def command(session: Session, at: datetime, by: str) -> None:
        tasks.resume_task(session, task_id, missed=missed, actor=by, now=at)

    perform(Role.OPERATOR, command, "Resumed.", task_id)


def delete(task_id: UUID) -> bool:
    """Whether it is in the trash now."""

    def command(session: Session, at: datetime, by: str) -> bool:
        tasks.delete_task(session, task_id, actor=by, now=at)
        return True

    return bool(perform(Role.EDITOR, command, "", task_id))


def restore(task_id: UUID) -> None:
    def command(session: Session, at: datetime, by: str) -> None:
        tasks.restore_task(session, task_id, actor=by, now=at)

    perform(Role.EDITOR, command, "Restored.", task_id)


def roll_back(task_id: UUID, version: int) -> bool:
    """Whether the task is as it was at that version now."""

    def command(session: Session, at: datetime, by: str) -> bool:
        tasks.rollback_task(session, task_id, version=version, actor=by, now=at)
        return True

    return bool(perform(Role.EDITOR, command, f"As it was at version {version}.", task_id))


def cancel(run_id: UUID) -> None:
    """Asks for the end of a run, by its id or its request's."""

    def command(session: Session, at: datetime, by: str) -> None:
        run_requests.cancel(session, run_id, actor=by, now=at)

    said = "It is being cancelled."
    perform(Role.OPERATOR, command, said, lambda session: run_requests.resolve(session, run_id).task_id)


def drain(worker_id: UUID, *, on: bool) -> None:
    """Has a worker take nothing new, or ends that."""
    perform(
        Role.OPERATOR,
        lambda session, at, by: workers.drain(session, worker_id, on=on, actor=by, now=at),
        "It takes nothing new." if on else "It takes new runs again.",
    )


def mark(keys: Sequence[str], mark: Mark, snooze: timedelta | None = None) -> None:
    """Says something of problems; `snooze` is for how long they stay away."""

    def command(session: Session, at: datetime, by: str) -> None:
        problems.mark(session, keys, mark, until=at + snooze if snooze else None, actor=by, now=at)

    perform(Role.OPERATOR, command, f"{mark.capitalize()}.")
    reads.forget_problems()


def reopen(keys: Sequence[str]) -> None:
    perform(Role.OPERATOR, lambda session, at, by: problems.reopen(session, keys, actor=by, now=at), "Open again.")
    reads.forget_problems()


def chain(task_id: UUID, upstream_name: str, on: After) -> bool:
    """Whether the task follows the other one now."""

    def command(session: Session, at: datetime, by: str) -> bool:
        upstream = tasks.task_by_name(session, upstream_name)
        if upstream is None:
            raise TaskNotFound(upstream_name)
        _edit_after(session, task_id, lambda after: [*after, {"task_id": str(upstream), "on": on}], at, by)
        return True

    return bool(perform(Role.EDITOR, command, "It follows now.", task_id))


def unchain(task_id: UUID, upstream: UUID) -> None:
    """The task does not follow the other one any more."""

    def command(session: Session, at: datetime, by: str) -> None:
        def without(after: list[Any]) -> list[Any]:
            return [each for each in after if each["task_id"] != str(upstream)]

        _edit_after(session, task_id, without, at, by)

    perform(Role.EDITOR, command, "It does not follow any more.", task_id)


def _edit_after(
    session: Session, task_id: UUID, change: Callable[[list[Any]], list[Any]], at: datetime, by: str
) -> None:
    version = tasks.lock_version(session, task_id)
    document = as_document(task_views.get_task(session, task_id, now=at).sound)
    spec = parse_task({**document, "after": change(document["after"])})
    tasks.replace_task(session, task_id, spec, seen_version=version, actor=by, now=at)

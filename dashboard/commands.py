"""What the buttons do: one command of the catalogue each, and a word on how it went."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard.context import catalogue, now
from dashboard.text import escape_markdown
from dashboard.viewer import ACTOR
from db import run_requests, tasks
from db.errors import CatalogueError
from db.states import Missed

T = TypeVar("T")


def run_now(task_id: UUID) -> UUID | None:
    """Asks for a run; the answer is the request's id, under which the run is found, too."""
    return _perform(
        lambda session, at: run_requests.request_run(session, task_id, actor=ACTOR, now=at), "A run is on its way."
    )


def pause(task_id: UUID, *, reason: str = "", until: datetime | None = None) -> None:
    _perform(
        lambda session, at: tasks.pause_task(session, task_id, reason=reason, until=until, actor=ACTOR, now=at),
        "Paused.",
    )


def resume(task_id: UUID, missed: Missed = Missed.NONE) -> None:
    _perform(lambda session, at: tasks.resume_task(session, task_id, missed=missed, actor=ACTOR, now=at), "Resumed.")


def delete(task_id: UUID) -> bool:
    """Whether it is in the trash now."""

    def command(session: Session, at: datetime) -> bool:
        tasks.delete_task(session, task_id, actor=ACTOR, now=at)
        return True

    return bool(_perform(command, ""))


def restore(task_id: UUID) -> None:
    _perform(lambda session, at: tasks.restore_task(session, task_id, actor=ACTOR, now=at), "Restored.")


def cancel(run_id: UUID) -> None:
    """Asks for the end of a run, by its id or its request's."""
    _perform(lambda session, at: run_requests.cancel(session, run_id, now=at), "It is being cancelled.")


def _perform(command: Callable[[Session, datetime], T], said: str) -> T | None:
    try:
        with catalogue().transaction() as session:
            done = command(session, now())
    except CatalogueError as error:
        st.toast(escape_markdown(str(error)), icon=":material/error:")
        return None
    if said:
        st.toast(said, icon=":material/check_circle:")
    return done

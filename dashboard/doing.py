"""What every button does around its command: who asks, whether they may, one transaction, and a word on how it went."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard.context import catalogue, now
from dashboard.live import note_own_change
from dashboard.text import escape_markdown
from dashboard.viewer import actor, address, visitor
from db import audit, tasks
from db.access import Role
from db.errors import CatalogueError
from db.specs import InvalidTask

T = TypeVar("T")


def perform(
    takes: Role,
    command: Callable[[Session, datetime, str], T],
    said: str | Callable[[], str],
    task: UUID | Callable[[Session], UUID] | None = None,
    *,
    tags: Sequence[str] | None = None,
) -> T | None:
    """Does it for whoever looks at the page, if they may: it takes a role, and one of the tags of the task."""
    try:
        by = visitor()
        by.require(takes)
        audit.ADDRESS.set(address())
        with catalogue().transaction() as session:
            if task is not None and by.tags is not None:
                by.require_tags(tasks.tags_of(session, task if isinstance(task, UUID) else task(session)))
            if tags is not None:
                by.require_tags(tags)
            done = command(session, now(), actor(by))
    except (CatalogueError, InvalidTask) as error:
        st.toast(escape_markdown(str(error)), icon=":material/error:")
        return None
    note_own_change()
    if words := said if isinstance(said, str) else said():
        st.toast(escape_markdown(words), icon=":material/check_circle:")
    return done

"""Reads that are the same for all readers, made once per change of the catalogue."""

from collections.abc import Sequence
from typing import TypedDict

import streamlit as st

from dashboard.context import catalogue
from dashboard.live import hub
from db import task_views
from db.notifications import Topic
from db.states import Kind
from db.task_views import TaskFilter

COUNTED = 10_000
"""Nobody waits for more to be counted."""
Token = tuple[int, int]
"""Changes with what is read, so an answer that was kept under it is right: nothing else needs it."""


class Filters(TypedDict):
    """What a list of tasks is narrowed to."""

    search: str
    tag: str | None
    kind: Kind | None
    state: TaskFilter | None


def tags() -> Sequence[str]:
    """The tags in use."""
    return _tags(hub().token(Topic.TASKS))


def count_tasks(filters: Filters) -> str:
    """How many tasks the filters leave, in words."""
    count = _count(hub().token(Topic.TASKS), filters)
    if count > COUNTED:
        return f"More than {COUNTED:,} tasks"
    return f"{count:,} {'task' if count == 1 else 'tasks'}"


# A lost hint makes a stale answer live as long as this, no longer.
@st.cache_data(ttl=15, max_entries=2, show_spinner=False)
def _tags(token: Token) -> Sequence[str]:  # noqa: ARG001
    with catalogue().transaction() as session:
        return list(task_views.list_tags(session))


@st.cache_data(ttl=15, max_entries=200, show_spinner=False)
def _count(token: Token, filters: Filters) -> int:  # noqa: ARG001
    with catalogue().transaction() as session:
        return task_views.count_tasks(session, **filters, at_most=COUNTED)

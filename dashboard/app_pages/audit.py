"""Who did what, when, and how each edit differs; and the trash, from which everything can be brought back."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import commands, components, keeping, navigation, pager, task_versions
from dashboard.components import Column
from dashboard.context import catalogue, now
from dashboard.failures import outage_shown
from dashboard.moments import moment
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone
from db import audit, revisions, task_views
from db.access import Role
from db.notifications import Topic
from db.retention import Kept
from db.tables import AuditEntry
from db.task_views import TaskFilter, TaskView

FRAGMENT = "audit_list"
CHANGES, TRASH = "Changes", "Trash"
CURSOR = "before"
PAGE_SIZE = 50
COMPARE = {"key": "compare", "icon": "compare", "label": "What it changed"}
RESTORE = {"key": "restore", "icon": "restore", "label": "Restore", "takes": Role.EDITOR}
COLUMNS = (
    Column("at", "When", "away"),
    Column("actor", "Who", "muted"),
    Column("change", "What", "code"),
    Column("name", "Task", "title"),
    Column("details", "Details", "prose"),
    Column("address", "From", "muted", spare=True),
)


def page() -> None:
    """The page at `/audit`."""
    navigation.show_notice()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Audit & trash", anchor=False, width="stretch")
        components.live([Topic.TASKS, Topic.WORKERS, Topic.ACCESS], [FRAGMENT], key="audit_live")
    _list()


@st.fragment(key=FRAGMENT)
def _list() -> None:
    with outage_shown():
        shown = st.segmented_control(
            "Shown",
            [CHANGES, TRASH],
            default=CHANGES,
            required=True,
            key="audit_shown",
            bind="query-params",
            label_visibility="collapsed",
            on_change=pager.newest,
            args=(CURSOR,),
        )
        if shown == TRASH:
            _trash()
        else:
            _changes()


def _changes() -> None:
    with st.container(horizontal=True, gap="small"):
        who = _text("Who", "audit_who", "Anybody")
        what = _text("What", "audit_what", "Any change, such as task.edited")
    task = _task_in_address()
    with catalogue().transaction() as session:
        found = audit.entries(
            session,
            actor=who,
            change=what,
            task_id=task,
            limit=PAGE_SIZE,
            cursor=st.query_params.get(CURSOR),
        )
    with st.container(border=True, gap=None):
        components.grid(
            [_row(entry) for entry in found.items],
            COLUMNS,
            key="audit_grid",
            label="Changes",
            empty="Nothing has been changed." if not (who or what or task) else "Nothing matches.",
            cards=True,
            on_open=lambda entry_id: _open(found.items, entry_id),
            on_action=lambda entry_id, _action: _compare(found.items, entry_id),
        )
    pager.show(found.next_cursor, parameter=CURSOR)


def _text(label: str, key: str, placeholder: str) -> str:
    typed = st.text_input(
        label,
        key=key,
        bind="query-params",
        live=True,
        max_chars=100,
        placeholder=placeholder,
        label_visibility="collapsed",
        width=260,
        on_change=pager.newest,
        args=(CURSOR,),
    )
    return (typed or "").strip()


def _task_in_address() -> UUID | None:
    try:
        return UUID(st.query_params.get("task", ""))
    except ValueError:
        return None


def _row(entry: AuditEntry) -> dict[str, Any]:
    is_version = entry.task_id is not None and entry.version is not None and entry.change in COMPARED
    return {
        "id": str(entry.id),
        "at": moment(entry.at, viewer_zone()),
        "actor": entry.actor,
        "change": entry.change,
        "name": {"text": entry.task_name, "href": f"task?id={entry.task_id}"} if entry.task_name else None,
        "details": details(entry.details),
        "address": entry.address or "",
        **({"actions": [COMPARE]} if is_version else {}),
    }


COMPARED = {"task.edited", "task.paused", "task.resumed"}


def details(told: dict[str, Any]) -> str:
    """What an entry tells besides, in a line. Pure."""
    return ", ".join(
        f"{name.replace('_', ' ')}: {_word(value)}" for name, value in told.items() if value not in (None, "", [], {})
    )


def _word(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)}" if len(value) > 3 else ", ".join(map(str, value))
    return str(value)


def _find(items: Sequence[AuditEntry], entry_id: str) -> AuditEntry:
    return next(entry for entry in items if str(entry.id) == entry_id)


def _open(items: Sequence[AuditEntry], entry_id: str) -> None:
    navigation.go("task", id=str(_find(items, entry_id).task_id))


@st.dialog("What it changed", icon=":material/compare_arrows:", width="large")
def _compare(items: Sequence[AuditEntry], entry_id: str) -> None:
    entry = _find(items, entry_id)
    assert entry.task_id is not None
    assert entry.version is not None
    with catalogue().transaction() as session:
        versions = {each.version: each.spec for each in revisions.around(session, entry.task_id, entry.version)}
    st.markdown(
        f"**{escape_markdown(entry.task_name or '')}**, version {entry.version}, by {escape_markdown(entry.actor)}"
    )
    if entry.version in versions and entry.version - 1 in versions:
        before, after = versions[entry.version - 1], versions[entry.version]
        task_versions.differences(before, after, zone=viewer_zone(), key="audit", empty="Nothing but its state.")
    else:
        st.caption("These versions are not there any more.")


def _trash() -> None:
    with catalogue().transaction() as session:
        found = task_views.list_tasks(
            session, state=TaskFilter.DELETED, limit=PAGE_SIZE, cursor=st.query_params.get(CURSOR), now=now()
        )
        by = _deleted_by(session, found.items)
        kept = keeping.read(session)
    days = f"{kept.trash.days:,} days after it was deleted" if kept else "never: no task named housekeeping is active"
    st.caption(f"A task is removed for good {days}.")
    with st.container(border=True, gap=None):
        components.grid(
            [_deleted_row(task, by[task.id], kept) for task in found.items],
            [
                Column("name", "Task", "title"),
                Column("actor", "Deleted by", "muted"),
                Column("at", "Deleted", "away"),
                Column("gone", "Removed for good", "away"),
            ],
            key="trash_grid",
            label="Trash",
            empty="The trash is empty.",
            cards=True,
            on_open=lambda task_id: navigation.go("task", id=task_id),
            on_action=lambda task_id, _action: commands.restore(UUID(task_id)),
        )
    pager.show(found.next_cursor, parameter=CURSOR)


def _deleted_by(session: Session, deleted: Sequence[TaskView]) -> dict[UUID, str]:
    return {task.id: revisions.list_revisions(session, task.id, limit=1)[0].actor for task in deleted}


def _deleted_row(task: TaskView, actor: str, kept: Kept | None) -> dict[str, Any]:
    assert task.deleted_at is not None
    return {
        "id": str(task.id),
        "name": {"text": task.spec.name, "href": f"task?id={task.id}"},
        "actor": actor,
        "at": moment(task.deleted_at, viewer_zone()),
        "gone": moment(task.deleted_at + kept.trash, viewer_zone()) if kept else None,
        "actions": [RESTORE],
    }

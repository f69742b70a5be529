"""The versions of a task: who made them, what each changed, and the way back to any of them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import streamlit as st

from dashboard import commands, components, conflicts, pauses
from dashboard.components import Column
from dashboard.context import catalogue
from dashboard.moments import in_full, moment
from dashboard.task_cards import card_title
from dashboard.task_words import label, value
from dashboard.text import escape_markdown
from db import revisions
from db.specs import as_document
from db.tables import Revision
from db.task_views import TaskView

LISTED = 12
COMPARE = {"key": "compare", "icon": "compare", "label": "What it changed"}
SHOWN_CHARACTERS = 400


def show(task: TaskView, history: Sequence[Revision], *, zone: str) -> None:
    """The card."""
    with st.container(border=True, height="stretch", gap="small"):
        card_title("Versions", "manage_history")
        components.grid(
            [_row(revision, zone) for revision in history[:LISTED]],
            [
                Column("version", "Version"),
                Column("change", "Change"),
                Column("name", "By", "title"),
                Column("at", "When", "away", "right"),
            ],
            key="task_versions",
            label="Versions of this task",
            dense=True,
            on_action=lambda version, _action: _compare_dialog(task, int(version), zone),
        )


def _row(revision: Revision, zone: str) -> dict[str, Any]:
    return {
        "id": str(revision.version),
        "version": str(revision.version),
        "change": revision.change,
        "name": {"text": revision.actor},
        "at": moment(revision.at, zone),
        "actions": [COMPARE],
    }


@st.dialog("Versions", icon=":material/manage_history:", width="large")
def _compare_dialog(task: TaskView, version: int, zone: str) -> None:
    before, chosen = _two(task.id, version)
    st.markdown(f"**Version {version}**, {chosen.change} by {escape_markdown(chosen.actor)}")
    st.caption(in_full(chosen.at, zone).splitlines()[0])
    if before is None:
        st.markdown("It is the first one.")
    else:
        differences(
            before.spec, chosen.spec, zone=zone, key="changed", empty="It changed nothing but the task's state."
        )
    if version != task.version and task.deleted_at is None:
        _way_back(task, chosen, zone)


def _way_back(task: TaskView, chosen: Revision, zone: str) -> None:
    now_it_is = as_document(task.spec)
    st.subheader("If you go back to it", anchor=False)
    again = {**chosen.spec, "paused": now_it_is["paused"]}
    changes = differences(now_it_is, again, zone=zone, key="back", empty="The task is as it was then.")
    if pauses.confirm(f"Go back to version {chosen.version}", key="rollback", disabled=not changes):
        commands.roll_back(task.id, chosen.version)
        st.rerun()


def _two(task_id: UUID, version: int) -> tuple[Revision | None, Revision]:
    """The version before this one, if there is one, and this one."""
    with catalogue().transaction() as session:
        found = revisions.around(session, task_id, version)
    by_version = {revision.version: revision for revision in found}
    return by_version.get(version - 1), by_version[version]


def differences(before: Mapping[str, Any], after: Mapping[str, Any], *, zone: str, key: str, empty: str) -> bool:
    """A table of what was and what is, field by field; whether there is any difference."""
    found = conflicts.differences(base=before, theirs=before, mine=after)
    if not found:
        st.caption(empty)
        return False
    components.grid(
        [
            {
                "id": each.field,
                "field": label(each.field),
                "before": _cut(value(each.field, each.theirs, zone=zone)),
                "after": _cut(value(each.field, each.mine, zone=zone)),
            }
            for each in found
        ],
        [Column("field", "Field"), Column("before", "Before", "prose"), Column("after", "After", "prose")],
        key=f"differences_{key}",
        label="What differs",
        dense=True,
        cards=True,
    )
    return True


def _cut(text: str) -> str:
    shown = text or "(nothing)"
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}…"

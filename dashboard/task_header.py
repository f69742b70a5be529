"""The top of a task's page: its name, its state, and what can be done with it."""

import os
from dataclasses import asdict
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import commands, components, navigation, undo
from dashboard.badges import pause_in_words, task_badges
from dashboard.components import CellKind
from dashboard.context import catalogue, now
from dashboard.moments import in_full, moment, zone_of
from dashboard.text import escape_markdown
from db import due_times, revisions
from db.schedules import in_words
from db.states import Missed
from db.task_views import TaskView

PREFECT_URL = "DUETIME_PREFECT_URL"
"""Where Prefect's UI is, for links."""
FOREVER, AT_A_TIME = "Until I resume it", "Until …"
PAUSES = {FOREVER: None, "For an hour": timedelta(hours=1), "For a day": timedelta(days=1), AT_A_TIME: None}


def show(task: TaskView, *, viewer_zone: str) -> None:
    """Everything above the cards."""
    zone = zone_of(task.spec, otherwise=viewer_zone)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(escape_markdown(task.spec.name), anchor=False, width="stretch")
        if task.deleted_at is None:
            _buttons(task, zone)
        else:
            st.button(
                "Restore",
                icon=":material/undo:",
                type="primary",
                key="restore",
                on_click=commands.restore,
                args=(task.id,),
            )
    components.labels(_labels(task, zone), key="task_labels")
    if task.spec.description:
        st.text(task.spec.description)
    _warnings(task, zone)


def _buttons(task: TaskView, zone: str) -> None:
    st.button(
        "Run now",
        icon=":material/play_arrow:",
        type="primary",
        key="run_now",
        on_click=_run_now,
        args=(task.id,),
    )
    if task.spec.paused:
        _resume_button(task.id)
    elif st.button("Pause", icon=":material/pause:", key="pause"):
        _pause_dialog(task.id, zone)
    if st.button("Edit", icon=":material/edit:", key="edit"):
        navigation.go("edit", id=str(task.id))
    if st.button("Duplicate", icon=":material/content_copy:", key="duplicate"):
        navigation.go("new", copy=str(task.id))
    st.button(
        "", icon=":material/delete:", key="delete", help="Delete", on_click=_delete, args=(task.id, task.spec.name)
    )


def _resume_button(task_id: UUID) -> None:
    """At once where nothing passed meanwhile, else with a question."""
    with catalogue().transaction() as session:
        missed = due_times.count_skipped(session, task_id, paused_at=revisions.paused_since(session, task_id))
    if missed == 0:
        st.button("Resume", icon=":material/resume:", key="resume", on_click=commands.resume, args=(task_id,))
    elif st.button("Resume", icon=":material/resume:", key="resume"):
        _resume_dialog(task_id, missed)


def _run_now(task_id: UUID) -> None:
    commands.run_now(task_id)


def _delete(task_id: UUID, name: str) -> None:
    if commands.delete(task_id):
        undo.say_deleted(task_id, name)
        navigation.go("tasks")


def _labels(task: TaskView, zone: str) -> list[tuple[CellKind, object]]:
    found: list[tuple[CellKind, object]] = [
        ("badges", [asdict(badge) for badge in task_badges(task, zone=zone)]),
        ("text", in_words(task.spec.schedule.value())),
    ]
    due = moment(task.next_due_at, zone)
    if due is not None:
        found += [("muted", "next due"), ("away", due)]
    return [*found, ("tags", task.spec.tags)]


def _warnings(task: TaskView, zone: str) -> None:
    if task.deleted_at is not None:
        st.info(f"In the trash since {in_full(task.deleted_at, zone).splitlines()[0]}.", icon=":material/delete:")
    elif task.spec.paused:
        words = pause_in_words(task.pause_reason, task.paused_until, zone=zone)
        st.info(f"Paused: {escape_markdown(words)}.", icon=":material/pause:")
    if task.sync_error and task.deleted_at is None:
        st.error(f"Prefect does not have this version: {escape_markdown(task.sync_error)}", icon=":material/cloud_off:")


def prefect_link(task: TaskView) -> None:
    """The way to the deployment in Prefect's own UI, where we know it."""
    base = os.environ.get(PREFECT_URL)
    if base and task.deployment_id:
        url = f"{base.rstrip('/')}/deployments/deployment/{task.deployment_id}"
        st.link_button("Open in Prefect", url, icon=":material/open_in_new:", type="tertiary", key="prefect_link")


@st.dialog("Pause this task", icon=":material/pause:")
def _pause_dialog(task_id: UUID, zone: str) -> None:
    st.markdown("It will not be due, but can still be run by hand. What runs now goes on.")
    reason = st.text_input("Reason", key="pause_reason", max_chars=500, placeholder="For whoever wonders")
    choice = st.radio("How long", list(PAUSES), key="pause_how_long", horizontal=True)
    until = _until(choice, zone)
    is_over = until is not None and until <= now()
    if is_over:
        st.error("This moment has passed. Choose a later one.", icon=":material/error:")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Cancel", key="pause_cancel"):
            st.rerun()
        if st.button("Pause", type="primary", key="pause_confirm", disabled=is_over):
            commands.pause(task_id, reason=reason or "", until=until)
            st.rerun()


@st.dialog("Resume this task", icon=":material/resume:")
def _resume_dialog(task_id: UUID, missed: int) -> None:
    passed = "One due time" if missed == 1 else f"{missed:,} due times"
    st.markdown(f"{passed} passed during the pause.")
    choices = {
        "Leave them": Missed.NONE,
        "Run the last one": Missed.LAST,
        "Run each, one after the other": Missed.ALL,
    }
    if missed == 1:
        choices = {"Leave it": Missed.NONE, "Run it now": Missed.LAST}
    choice = st.radio("What to do about that", list(choices), key="resume_missed")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Cancel", key="resume_cancel"):
            st.rerun()
        if st.button("Resume", type="primary", key="resume_confirm"):
            commands.resume(task_id, choices[choice])
            st.rerun()


def _until(choice: str, zone: str) -> datetime | None:
    if choice == AT_A_TIME:
        tomorrow = (now() + timedelta(days=1)).astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
        at = st.datetime_input(f"Until, {zone}", value=tomorrow.replace(tzinfo=None), key="pause_until")
        return at.replace(tzinfo=ZoneInfo(zone)) if at else None
    length = PAUSES[choice]
    return now() + length if length else None

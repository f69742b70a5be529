"""The top of a task's page: its name, its state, and what can be done with it."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

import streamlit as st

from dashboard import commands, components, copy_dialog, navigation, pauses, run_dialog, undo, viewer
from dashboard.badges import pause_in_words, task_badges
from dashboard.components import CellKind, Column
from dashboard.context import catalogue, now
from dashboard.moments import clock, in_full, moment, span, zone_of
from dashboard.text import escape_markdown
from db import due_times, revisions
from db.access import Role
from db.pools import Pool
from db.problems import TRIED
from db.schedule_words import in_words
from db.states import Missed
from db.stored import BROKEN
from db.tables import SetAside
from db.task_views import TaskView

PASSED_SHOWN = 20
MORE = ["Run with changes", "Duplicate", "Copy as text"]
PREFECT_URL = "DUETIME_PREFECT_URL"
"""Where Prefect's UI is, for links."""


def show(task: TaskView, pool: Pool, *, viewer_zone: str) -> None:
    """Everything above the cards."""
    zone = zone_of(task.spec, otherwise=viewer_zone)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(escape_markdown(task.spec.name), anchor=False, width="stretch")
        if task.deleted_at is None:
            _buttons(task, zone)
        else:
            viewer.button(
                "Restore",
                takes=Role.EDITOR,
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
    if task.deleted_at is None and pool.is_stopped:
        st.warning(escape_markdown(pool.why_not() or ""), icon=":material/hourglass_empty:")


def set_aside(task: TaskView, found: Sequence[SetAside]) -> None:
    """What of it the reconciler cannot handle; that it is broken is told anyway."""
    if task.broken is None and task.deleted_at is None:
        for reason in dict.fromkeys(each.reason for each in found if each.times >= TRIED):
            st.warning(f"Set aside, and tried again: {escape_markdown(reason)}", icon=":material/front_hand:")


def _buttons(task: TaskView, zone: str) -> None:
    viewer.button(
        "Run now",
        takes=Role.OPERATOR,
        icon=":material/play_arrow:",
        type="primary",
        key="run_now",
        on_click=_run_now,
        args=(task.id,),
    )
    if task.spec.paused:
        _resume_button(task, zone)
    elif viewer.pressed("Pause", takes=Role.OPERATOR, icon=":material/pause:", key="pause"):
        _pause_dialog(task.id, zone)
    # By its callback: a run that draws is ended by the next one, and with it what stands after its buttons.
    viewer.button(
        "Edit",
        takes=Role.EDITOR,
        icon=":material/edit:",
        key="edit",
        on_click=navigation.go,
        args=("edit",),
        kwargs={"id": str(task.id)},
    )
    match viewer.chosen("More", MORE, icon=":material/more_horiz:", key="more"):
        case "Run with changes":
            run_dialog.show(task)
        case "Duplicate":
            navigation.go("new", copy=str(task.id))
        case "Copy as text":
            copy_dialog.show(task)
    viewer.button(
        "",
        takes=Role.EDITOR,
        icon=":material/delete:",
        key="delete",
        help="Delete",
        on_click=_delete,
        args=(task.id, task.spec.name),
    )


def _resume_button(task: TaskView, zone: str) -> None:
    """At once where nothing passed meanwhile, else with a question."""
    with catalogue().transaction() as session:
        paused_at = revisions.paused_since(session, task.id)
        missed = due_times.count_skipped(session, task.id, paused_at=paused_at)
    if missed == 0:
        viewer.button(
            "Resume",
            takes=Role.OPERATOR,
            icon=":material/resume:",
            key="resume",
            on_click=commands.resume,
            args=(task.id,),
        )
    elif viewer.pressed("Resume", takes=Role.OPERATOR, icon=":material/resume:", key="resume"):
        _resume_dialog(task.id, missed, paused_at, zone)


def _run_now(task_id: UUID) -> None:
    commands.run_now(task_id)


def _delete(task_id: UUID, name: str) -> None:
    if commands.delete(task_id):
        undo.say_deleted(task_id, name)
        navigation.go("tasks")


def _labels(task: TaskView, zone: str) -> list[tuple[CellKind, object]]:
    found: list[tuple[CellKind, object]] = [
        ("badges", [asdict(badge) for badge in task_badges(task, zone=zone)]),
        ("text", in_words(task.spec.schedule.value()) if task.broken is None else ""),
    ]
    due = moment(task.next_due_at, zone)
    if due is not None:
        found += [("muted", "next due"), ("away", due)]
    return [*found, ("tags", task.spec.tags)]


def _warnings(task: TaskView, zone: str) -> None:
    if task.deleted_at is not None:
        st.info(f"In the trash since {in_full(task.deleted_at, zone).splitlines()[0]}.", icon=":material/delete:")
    if task.broken is not None:
        st.error(escape_markdown(BROKEN.format(why=task.broken)), icon=":material/error:")
    elif task.deleted_at is not None:
        return
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
    reason, until = pauses.fields(key="pause", zone=zone)
    is_over = pauses.say_if_over(until)
    if pauses.confirm("Pause", key="pause", disabled=is_over):
        commands.pause(task_id, reason=reason, until=until)
        st.rerun()


@st.dialog("Resume this task", icon=":material/resume:")
def _resume_dialog(task_id: UUID, missed: int, paused_at: datetime, zone: str) -> None:
    passed = "One due time" if missed == 1 else f"{missed:,} due times"
    st.markdown(f"{passed} passed during the pause of {span((now() - paused_at).total_seconds())}.")
    _passed(task_id, missed, paused_at, zone)
    choices = {
        "Leave them": Missed.NONE,
        "Run the last one": Missed.LAST,
        "Run each, one after the other": Missed.ALL,
    }
    if missed == 1:
        choices = {"Leave it": Missed.NONE, "Run it now": Missed.LAST}
    choice = st.radio("What to do about that", list(choices), key="resume_missed")
    if pauses.confirm("Resume", key="resume"):
        commands.resume(task_id, choices[choice])
        st.rerun()


def _passed(task_id: UUID, missed: int, paused_at: datetime, zone: str) -> None:
    with catalogue().transaction() as session:
        newest = due_times.list_skipped(session, task_id, paused_at=paused_at, limit=PASSED_SHOWN)
    with st.expander("Which ones", key="resume_passed"):
        components.grid(
            [{"id": at.isoformat(), "due": clock(at, zone), "away": moment(at, zone)} for at in newest],
            [Column("due", f"Task time, {zone}"), Column("away", "", "away", "right")],
            key="resume_due_times",
            label="Due times that passed",
            dense=True,
        )
        if missed > len(newest):
            st.caption(f"And {missed - len(newest):,} before.")

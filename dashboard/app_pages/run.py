"""One run: how it went, and what it prints, while it prints it."""

from datetime import datetime
from uuid import UUID

import streamlit as st

from dashboard import commands, components, navigation, run_rows
from dashboard.badges import run_badge
from dashboard.components import Tile
from dashboard.context import catalogue, now
from dashboard.failures import outage_shown
from dashboard.moments import day, span, time_of_day, took, zone_of
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone
from db import run_requests, task_views
from db.errors import RunNotFound, TaskNotFound
from db.notifications import Topic, of
from db.states import FINAL_STATES, RunState
from db.tables import Run

FRAGMENT = "run_view"
LOG_HEIGHT = 440


def page() -> None:
    """The page at `/run?id=`, by the id of a run or of the request for it."""
    navigation.show_notice()
    try:
        run_id = UUID(st.query_params.get("id", ""))
        with catalogue().transaction() as session:
            run = run_requests.resolve(session, run_id)
        _page_of(run_id, run)
    except (ValueError, RunNotFound):
        st.title("There is no such run", anchor=False)
        st.markdown("Runs older than the retention time are removed, or the link is wrong.")
        navigation.back_link("runs", "All runs")


def _page_of(run_id: UUID, run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            navigation.back_link("task", escape_markdown(run.task_name), id=str(run.task_id))
        topics = [of(Topic.RUNS, run_id), of(Topic.RUNS, run.id), of(Topic.TASKS, run.task_id)]
        components.live(topics, [FRAGMENT], key="run_live")
    _view(run_id)


@st.fragment(key=FRAGMENT)
def _view(run_id: UUID) -> None:
    with outage_shown():
        with catalogue().transaction() as session:
            run = run_requests.resolve(session, run_id)
            try:
                task = task_views.get_task(session, run.task_id, now=now())
                zone = zone_of(task.spec, otherwise=viewer_zone())
                can_run = task.deleted_at is None
            except TaskNotFound:
                zone, can_run = viewer_zone(), False
        _head(run, can_run=can_run)
        components.tiles(_facts(run, zone), key="run_facts")
        if run.error:
            st.error(escape_markdown(run.error), icon=":material/error:")
        components.log(str(run.id), over=run.state in FINAL_STATES, zone=zone, key="run_log", height=LOG_HEIGHT)


def _head(run: Run, *, can_run: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(f"Run {run_rows.short(run.id)}", anchor=False, width="stretch")
        if run.state not in FINAL_STATES:
            st.button(
                "Cancel",
                icon=":material/cancel:",
                key="cancel_run",
                disabled=run_rows.is_cancelling(run),
                help="It is being cancelled." if run_rows.is_cancelling(run) else None,
                on_click=commands.cancel,
                args=(run.id,),
            )
        st.button(
            "Run again",
            icon=":material/replay:",
            key="run_again",
            disabled=not can_run,
            help=None if can_run else "The task is in the trash, or removed.",
            on_click=_run_again,
            args=(run.task_id,),
        )


def _run_again(task_id: UUID) -> None:
    request = commands.run_now(task_id)
    if request is not None:
        navigation.go("run", id=str(request))


def _facts(run: Run, zone: str) -> list[Tile]:
    badge = run_badge(run.state, cancelling=run_rows.is_cancelling(run))
    return [
        Tile("State", [badge], "badges", sub=run_rows.TRIGGERS[run.trigger]),
        Tile("Due", time_of_day(run.due_at, zone), sub=f"{day(run.due_at, zone)}, {zone}"),
        Tile("Lateness", span(run.lateness_seconds), sub=_precisely("started at", run.started_at, zone)),
        Tile("Took", took(run.started_at, run.ended_at), "elapsed", sub=_precisely("until", run.ended_at, zone)),
        Tile("Attempt", str(run.attempt), sub="waiting for the next" if run.state == RunState.RETRYING else ""),
        Tile("Exit code", "" if run.exit_code is None else str(run.exit_code)),
        Tile("Worker", run.worker, sub=f"task version {run.task_version}"),
    ]


def _precisely(word: str, at: datetime | None, zone: str) -> str:
    return f"{word} {time_of_day(at, zone, precise=True)}" if at else ""

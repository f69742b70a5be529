"""One run: how it went, and what it prints, while it prints it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import streamlit as st

from dashboard import action_text, commands, components, navigation, run_rows, run_story, viewer
from dashboard.badges import run_badge
from dashboard.components import CellKind, Tile
from dashboard.context import catalogue, now
from dashboard.failures import outage_shown
from dashboard.moments import day, span, time_of_day, took, zone_of
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone
from db import evidence, run_requests, run_views, task_views, waiting
from db.access import Role
from db.errors import RunNotFound, TaskNotFound
from db.notifications import Topic, of
from db.run_views import Surroundings
from db.states import FINAL_STATES, WITH_PARAMETERS, RunState
from db.tables import Run
from db.task_views import TaskView

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
        topics = [of(Topic.RUNS, run_id), of(Topic.RUNS, run.id), of(Topic.TASKS, run.task_id), Topic.WORKERS]
        components.live(topics, [FRAGMENT], key="run_live")
    _view(run_id)


@st.fragment(key=FRAGMENT)
def _view(run_id: UUID) -> None:
    with outage_shown():
        found = _read(run_id)
        run, zone = found.run, found.zone
        _head(found)
        components.tiles(_facts(run, zone), key="run_facts")
        with st.container(border=True, gap="small"):
            components.story(run_story.as_data(run, zone), key="run_story", label="What happened")
            if found.why:
                st.markdown(f":material/help: {escape_markdown(found.why)}")
            if found.waits_for:
                st.markdown(f":material/hourglass_empty: It waits. {escape_markdown(found.waits_for)}")
            _others(found)
        if run.error:
            st.error(escape_markdown(run.error), icon=":material/error:")
        components.log(str(run.id), over=run.state in FINAL_STATES, zone=zone, key="run_log", height=LOG_HEIGHT)
        _executed(found)


@dataclass(frozen=True, slots=True)
class _Found:
    """A run with what belongs to it; no task where that was removed for good."""

    run: Run
    task: TaskView | None
    around: Surroundings
    why: str | None
    waits_for: str | None
    zone: str


def _read(run_id: UUID) -> _Found:
    at = now()
    with catalogue().transaction() as session:
        run = run_requests.resolve(session, run_id)
        task = None
        with suppress(TaskNotFound):
            task = task_views.get_task(session, run.task_id, now=at)
        zone = zone_of(task.spec, otherwise=viewer_zone()) if task else viewer_zone()
        around = run_views.surroundings(session, run)
        rows = [around.due_time] if around.due_time and task else []
        why = next(iter(evidence.explain(session, run.task_id, rows, now=at, zone=zone)), None)
        waits_for = waiting.of_run(session, run, now=at, zone=zone)
    return _Found(run, task, around, why, waits_for, zone)


def _head(found: _Found) -> None:
    run, can_run = found.run, found.task is not None and found.task.deleted_at is None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(f"Run {run_rows.short(run.id)}", anchor=False, width="stretch")
        if run.state not in FINAL_STATES:
            viewer.button(
                "Cancel",
                takes=Role.OPERATOR,
                icon=":material/cancel:",
                key="cancel_run",
                disabled=run_rows.is_cancelling(run),
                help="It is being cancelled." if run_rows.is_cancelling(run) else None,
                on_click=commands.cancel,
                args=(run.id,),
            )
        viewer.button(
            "Run again",
            takes=Role.OPERATOR,
            icon=":material/replay:",
            key="run_again",
            disabled=not can_run,
            help=None if can_run else "The task is in the trash, or removed.",
            on_click=_run_again,
            args=(run.task_id,),
        )


def _others(found: _Found) -> None:
    """The runs before and after, and those that are the same run on another machine."""
    around = found.around
    runs = {
        "Previous run": around.previous,
        "Next run": around.following,
        "The run that it goes on with": found.run.rerun_of,
        "The run that went on with it": around.went_on,
        "The run that it follows": around.follows,
        **{f"A run that followed{number}": run for number, run in _numbered(around.followers)},
    }
    links: list[tuple[CellKind, Any]] = [
        ("title", {"text": label, "href": f"run?id={run_id}"}) for label, run_id in runs.items() if run_id is not None
    ]
    components.labels(links, key="run_others", on_open=navigation.follow)


def _numbered(runs: Sequence[UUID]) -> Iterator[tuple[str, UUID]]:
    for number, run in enumerate(runs, 1):
        yield (f" ({number})" if len(runs) > 1 else ""), run


def _executed(found: _Found) -> None:
    """What exactly it did."""
    run, spec = found.run, found.around.spec
    with st.expander(f"What it executed: version {run.task_version}", key="run_executed"):
        if spec is None:
            st.caption("That version is not there any more.")
            return
        if run.trigger in WITH_PARAMETERS:
            st.caption(f"It was {run_rows.TRIGGERS[run.trigger]}, so it may have been given something else.")
        st.code(action_text.text(spec), language=None, wrap_lines=True)
        if found.task is not None and found.task.version != run.task_version:
            st.caption(f"The task is at version {found.task.version} now.")
            navigation.link("task", "Its versions", id=str(run.task_id))


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

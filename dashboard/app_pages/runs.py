"""All runs, newest first."""

from uuid import UUID

import streamlit as st

from dashboard import components, navigation, pager, reads, run_gantt, run_rows
from dashboard.badges import RUN_BADGES
from dashboard.context import now
from dashboard.failures import outage_shown
from dashboard.task_cards import card_title
from dashboard.viewer import viewer_zone
from db.notifications import Topic
from db.states import RunState

PAGE_SIZE = 30
CURSOR = "before"
FRAGMENTS = ("runs_gantt_view", "runs_list")
STATES = {"All": None, **{RUN_BADGES[state].word: state for state in RunState}}


def page() -> None:
    """The page at `/runs`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Runs", anchor=False, width="stretch")
        components.live([Topic.RUNS], FRAGMENTS, key="runs_live")
    _gantt()
    _list()


@st.fragment(key=FRAGMENTS[0])
def _gantt() -> None:
    """What the workers did lately."""
    with outage_shown(), st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title("By worker", "view_timeline")
            within = st.segmented_control(
                "Window",
                list(run_gantt.WINDOWS),
                default="30 min",
                required=True,
                key="window",
                bind="query-params",
                label_visibility="collapsed",
            )
        length = run_gantt.WINDOWS[within or "30 min"]
        window = run_gantt.Window(now() - length, now())
        answer = reads.runs_within(length)
        found = answer.value
        components.gantt(
            run_gantt.chart(found, window, viewer_zone()),
            key="runs_gantt",
            label="Runs by worker",
            empty="Nothing was running.",
            on_open=lambda run_id: navigation.go("run", id=run_id),
        )
        if len(found) >= run_gantt.MOST:
            st.caption(f"The newest {run_gantt.MOST} are drawn.")
        components.again(answer.again_in_seconds, key="runs_again")


@st.fragment(key=FRAGMENTS[1])
def _list() -> None:
    with outage_shown():
        state = st.segmented_control(
            "State",
            list(STATES),
            default="All",
            required=True,
            key="run_state",
            wrap=False,
            bind="query-params",
            label_visibility="collapsed",
            on_change=pager.newest,
            args=(CURSOR,),
        )
        cursor = st.query_params.get(CURSOR)
        found = reads.run_list(task_id=_task(), state=STATES[state or "All"], limit=PAGE_SIZE, cursor=cursor)
        if _task() is not None:
            st.button("Not only this task's", icon=":material/close:", key="any_task", on_click=_any_task)
        with st.container(border=True, gap=None):
            components.grid(
                [run_rows.row(run, zone=viewer_zone()) for run in found.items],
                run_rows.WITH_TASK,
                key="runs_grid",
                label="Runs",
                empty="Nothing has run yet." if state == "All" else "No run is in this state.",
                cards=True,
                on_open=lambda run_id: navigation.go("run", id=run_id),
            )
        pager.show(found.next_cursor, parameter=CURSOR)


def _task() -> UUID | None:
    """The one that the address names."""
    try:
        return UUID(st.query_params.get("task", ""))
    except ValueError:
        return None


def _any_task() -> None:
    st.query_params.pop("task", None)
    pager.newest(CURSOR)

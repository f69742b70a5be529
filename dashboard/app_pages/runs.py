"""All runs, newest first."""

import streamlit as st

from dashboard import components, navigation, pager, run_rows
from dashboard.badges import RUN_BADGES
from dashboard.context import catalogue
from dashboard.failures import outage_shown
from dashboard.viewer import viewer_zone
from db import runs
from db.notifications import Topic
from db.states import RunState

PAGE_SIZE = 30
CURSOR = "before"
FRAGMENT = "runs_list"
STATES = {"All": None, **{RUN_BADGES[state].word: state for state in RunState}}


def page() -> None:
    """The page at `/runs`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Runs", anchor=False, width="stretch")
        components.live([Topic.RUNS], [FRAGMENT], key="runs_live")
    _list()


@st.fragment(key=FRAGMENT)
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
        with catalogue().transaction() as session:
            found = runs.list_runs(
                session, state=STATES[state or "All"], limit=PAGE_SIZE, cursor=st.query_params.get(CURSOR)
            )
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

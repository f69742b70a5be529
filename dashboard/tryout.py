"""A test of what the form holds: it runs once, nothing is saved, and its output appears below the form."""

from dataclasses import asdict
from typing import Any

import streamlit as st

from dashboard import commands, components, forms, viewer
from dashboard.badges import run_badge
from dashboard.components import CellKind
from dashboard.context import catalogue
from dashboard.drafts import Draft
from dashboard.failures import outage_shown
from dashboard.moments import took
from dashboard.task_cards import card_title
from dashboard.viewer import viewer_zone
from db import run_requests
from db.access import Role
from db.notifications import Topic
from db.specs import InvalidTask, as_document
from db.states import FINAL_STATES

FRAGMENT = "edit_test"
LOG_HEIGHT = 260


def button(draft: Draft) -> None:
    """Runs what the form holds now, whether its task is saved or not."""
    viewer.button(
        "Test run",
        takes=Role.EDITOR,
        icon=":material/science:",
        key="edit_test_run",
        help="Runs what is in the form once; saves nothing, and no due time is touched.",
        on_click=_begin,
        args=(draft,),
    )


def _begin(draft: Draft) -> None:
    draft.tried = True
    try:
        spec = forms.read(draft.collect(), base=draft.base)
    except InvalidTask:
        return
    # What a run needs from Prefect is there for a saved task, which keeps its kind.
    if draft.task_id is not None and draft.base is not None and draft.base["kind"] == spec.kind:
        draft.test = commands.run_now(draft.task_id, as_document(spec)["action"])
    else:
        draft.test = commands.try_out(spec)


def show(draft: Draft) -> None:
    """The test that was begun last, while it goes on and after it."""
    if draft.test is None:
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title("Test run", "science")
            components.live([Topic.RUNS], [FRAGMENT], key="edit_test_live")
        _run(draft)


@st.fragment(key=FRAGMENT)
def _run(draft: Draft) -> None:
    assert draft.test is not None
    with outage_shown():
        with catalogue().transaction() as session:
            run = run_requests.resolve(session, draft.test)
        shown: list[tuple[CellKind, Any]] = [("badges", [asdict(run_badge(run.state))])]
        if elapsed := took(run.started_at, run.ended_at):
            shown.append(("elapsed", elapsed))
        components.labels(shown, key="edit_test_state")
        if run.error:
            st.text(run.error)
        over = run.state in FINAL_STATES
        components.log(str(run.id), over=over, zone=viewer_zone(), key="edit_test_log", height=LOG_HEIGHT, reveal=True)

"""One task: when it is due, how its runs went, what it does, and who changed it."""

from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from dashboard import chain_card, components, ledger_card, navigation, task_cards, task_header, task_versions
from dashboard.context import catalogue, now
from dashboard.failures import outage_shown
from dashboard.moments import zone_of
from dashboard.viewer import viewer_zone
from db import chains, pools, revisions, runs, set_aside, task_views
from db.errors import TaskNotFound
from db.notifications import Topic, of
from db.tables import Revision
from db.task_views import TaskView

FRAGMENTS = ("task_head", "task_body")
RUNS_READ = 60


def page() -> None:
    """The page at `/task?id=`."""
    navigation.show_notice()
    try:
        task_id = UUID(st.query_params.get("id", ""))
        with catalogue().transaction() as session:
            task_views.get_task(session, task_id, now=now())
        _page_of(task_id)
    except (ValueError, TaskNotFound):
        st.title("There is no such task", anchor=False)
        st.markdown("It may have been removed for good, or the link is wrong.")
        navigation.back_link("tasks", "All tasks")


def _page_of(task_id: UUID) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            navigation.back_link("tasks", "All tasks")
        components.live([of(Topic.TASKS, task_id), Topic.WORKERS], FRAGMENTS, key="task_live")
    _head(task_id)
    _body(task_id)


@st.fragment(key=FRAGMENTS[0])
def _head(task_id: UUID) -> None:
    with outage_shown():
        with catalogue().transaction() as session:
            task = task_views.get_task(session, task_id, now=now())
            pool = pools.one_of(session, task.spec.work_pool, now=now())
            aside = set_aside.of_task(session, task_id)
        task_header.show(task, pool, viewer_zone=viewer_zone())
        task_header.set_aside(task, aside)


@st.fragment(key=FRAGMENTS[1])
def _body(task_id: UUID) -> None:
    with outage_shown():
        moment = now()
        with catalogue().transaction() as session:
            task = task_views.get_task(session, task_id, now=moment)
            recent = runs.list_runs(session, task_id=task_id, limit=RUNS_READ).items
            history = revisions.list_revisions(session, task_id, limit=task_versions.LISTED)
            chain = chains.chain_of(session, task_id, task.spec)
            found = ledger_card.read(session, task, viewer_zone=viewer_zone(), now=moment)
        cards = task_cards.Cards(task, viewer_zone=viewer_zone(), now=moment)
        left, right = st.columns(2, gap="small")
        with left:
            cards.schedule()
        with right:
            cards.statistics(recent)
        left, right = st.columns([1, 1.35], gap="small")
        with left:
            cards.runs(recent)
        with right:
            cards.output(recent)
        ledger_card.show(task, found, viewer_zone=viewer_zone(), now=moment)
        chain_card.show(task, chain)
        _below(cards, task, history)


def _below(cards: task_cards.Cards, task: TaskView, history: Sequence[Revision]) -> None:
    left, right = st.columns([1.35, 1], gap="small")
    with left:
        cards.action()
    with right:
        task_versions.show(task, history, zone=zone_of(task.spec, otherwise=viewer_zone()))

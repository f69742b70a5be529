"""The card of a task that follows others, or that others follow: a small graph, and a way to change it."""

from typing import Any

import streamlit as st

from dashboard import commands, components, navigation, pauses, viewer
from dashboard.task_cards import card_title
from dashboard.text import escape_markdown
from db.access import Role
from db.chains import Chain, Neighbour
from db.states import After
from db.task_views import TaskView
from db.values import MAX_NAME

WORDS = {
    After.SUCCEEDED: "after a success",
    After.FAILED: "after a failure",
    After.FINISHED: "after every run",
}


def show(task: TaskView, chain: Chain) -> None:
    """Nothing where it stands alone, but the way to change that."""
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title("Chain", "account_tree")
            if task.deleted_at is None and viewer.pressed(
                "Run it after another task", takes=Role.EDITOR, icon=":material/add_link:", key="chain_add"
            ):
                _add_dialog(task)
        if not chain.before and not chain.after:
            st.caption("It follows no other task, and none follows it.")
            return
        components.chain(
            [_node(one) for one in chain.before],
            task.spec.name,
            [_node(one) for one in chain.after],
            key="task_chain",
            label="Chain of this task",
            on_open=navigation.follow,
        )
        if task.deleted_at is None:
            _removals(task, chain)


def _node(one: Neighbour) -> dict[str, Any]:
    if one.name is None:
        return {"name": "not there any more", "on": WORDS[one.on], "tone": "gone"}
    return {"name": one.name, "href": f"task?id={one.id}", "on": WORDS[one.on]}


def _removals(task: TaskView, chain: Chain) -> None:
    with st.container(horizontal=True):
        for one in chain.before:
            viewer.button(
                f"Not after {escape_markdown(one.name or 'what is gone')}",
                takes=Role.EDITOR,
                icon=":material/link_off:",
                type="tertiary",
                key=f"chain_remove_{one.id}",
                on_click=commands.unchain,
                args=(task.id, one.id),
            )


@st.dialog("Run it after another task", icon=":material/account_tree:")
def _add_dialog(task: TaskView) -> None:
    name = st.text_input("Name of the other task", key="chain_name", max_chars=MAX_NAME)
    on = st.radio("When", list(After), key="chain_on", format_func=lambda each: WORDS[each].capitalize())
    st.caption("Its schedule stays as it is. Its runs are told of the run before them by DUETIME_AFTER_*.")
    if pauses.confirm("Save", key="chain") and commands.chain(
        task.id, (name or "").strip(), After(on or After.SUCCEEDED)
    ):
        st.rerun()

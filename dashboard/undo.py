"""A deletion is not asked about, it is undone: the bar that offers so, on whatever list is shown next."""

from uuid import UUID

import streamlit as st

from dashboard import commands
from dashboard.text import escape_markdown

_DELETED = "_deleted"


def say_deleted(task_id: UUID, name: str) -> None:
    """Leaves word for the bar."""
    st.session_state[_DELETED] = (task_id, name)


def show_bar() -> None:
    """The bar, when there is something to undo."""
    if _DELETED not in st.session_state:
        return
    task_id, name = st.session_state[_DELETED]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="undo_bar"):
        st.markdown(f":material/delete: **{escape_markdown(name)}** is in the trash.", width="stretch")
        st.button("Undo", icon=":material/undo:", key="undo", on_click=_undo, args=(task_id,))
        st.button("", icon=":material/close:", key="undo_close", help="Dismiss", on_click=_forget)


def _undo(task_id: UUID) -> None:
    _forget()
    commands.restore(task_id)


def _forget() -> None:
    st.session_state.pop(_DELETED, None)

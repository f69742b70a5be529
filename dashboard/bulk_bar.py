"""The bar above the list of tasks: how many are chosen, what can be done with them, how far that is, and its undo."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import streamlit as st

from dashboard import bulk, copying, pauses, viewer
from dashboard.bulk import Bulk, By, Command
from dashboard.context import catalogue
from dashboard.text import escape_markdown
from db import task_views
from db.access import Role
from db.specs import as_document

CHOSEN, RUNNING = "_chosen", "_bulk"
LOOK_SECONDS = 0.5
TYPE_ABOVE = 20
"""More than so many are deleted by whoever types how many only."""
EXPORTED_AT_ONCE = 500


def chosen() -> set[str]:
    """The ids of the chosen tasks, on whichever page they are."""
    found: set[str] = st.session_state.setdefault(CHOSEN, set())
    return found


def choose(ids: Sequence[str], on: bool) -> None:
    """Called by the list."""
    if on:
        chosen().update(ids)
    else:
        chosen().difference_update(ids)


def forget() -> None:
    """Nothing is chosen any more."""
    chosen().clear()


def show(*, deleted: bool, everything: Callable[[], Sequence[UUID]], total: str) -> None:
    """The bar, as far as there is something to say; `everything` finds all that the filters leave."""
    show_progress()
    if not chosen():
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small", key="bulk_bar"):
        st.markdown(f"**{len(chosen()):,}** chosen", width="content")
        if deleted:
            _button("Restore", "undo", "Restored", bulk.restore, Role.EDITOR)
        else:
            _commands()
        st.download_button(
            "Export",
            partial(_export, tuple(sorted(chosen()))),
            file_name="duetime-tasks.yaml",
            mime="application/yaml",
            icon=":material/download:",
            key="bulk_export",
            on_click="ignore",
        )
        st.button(f"Choose all: {total}", key="bulk_all", type="tertiary", on_click=_choose_all, args=(everything,))
        st.button("", icon=":material/close:", key="bulk_none", help="Choose none", on_click=forget)


def _choose_all(everything: Callable[[], Sequence[UUID]]) -> None:
    choose([str(task_id) for task_id in everything()], on=True)


def _commands() -> None:
    _button("Run now", "play_arrow", "Started", bulk.run_now, Role.OPERATOR)
    if viewer.pressed("Pause", takes=Role.OPERATOR, icon=":material/pause:", key="bulk_pause"):
        _pause_dialog()
    _button("Resume", "resume", "Resumed", bulk.resume, Role.OPERATOR)
    if viewer.pressed("Tag", takes=Role.EDITOR, icon=":material/label:", key="bulk_tag"):
        _tag_dialog()
    if len(chosen()) <= TYPE_ABOVE:
        _button("Delete", "delete", "Deleted", bulk.delete, Role.EDITOR)
    elif viewer.pressed("Delete", takes=Role.EDITOR, icon=":material/delete:", key="bulk_delete"):
        _delete_dialog()


def _button(label: str, icon: str, title: str, command: Command, takes: Role) -> None:
    viewer.button(
        label,
        takes=takes,
        icon=f":material/{icon}:",
        key=f"bulk_{label.split()[0].lower()}",
        disabled=_is_running(),
        help="The last one is still being done." if _is_running() else None,
        on_click=_begin,
        args=(title, command, takes),
    )


def _is_running() -> bool:
    running = st.session_state.get(RUNNING)
    return running is not None and not running.is_over


def _begin(title: str, command: Command, takes: Role) -> None:
    begin(title, [UUID(each) for each in sorted(chosen())], command, takes=takes)
    forget()


def begin(title: str, ids: Sequence[UUID], command: Command, *, takes: Role) -> None:
    """Does it to these tasks, unless something is still being done."""
    if ids and not _is_running():
        by = By(viewer.visitor(), takes, viewer.address())
        st.session_state[RUNNING] = bulk.begin(catalogue(), title, ids, command, by=by)


def show_progress() -> None:
    """How far the last command for many is, or was, and its undo."""
    running: Bulk | None = st.session_state.get(RUNNING)
    if running is None:
        return
    # Looked at by itself only while there is something to see.
    st.fragment(_progress_of, key="bulk_progress", run_every=None if running.is_over else LOOK_SECONDS)(running)


def _progress_of(running: Bulk) -> None:
    if not running.is_over:
        st.progress(running.at / running.total, text=f"{running.title}: {running.at:,} of {running.total:,}")
        st.session_state[f"{RUNNING}_seen"] = True
        return
    if st.session_state.pop(f"{RUNNING}_seen", False):
        st.rerun()  # the list below shows what it was before
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="bulk_result"):
        st.markdown(f":material/done_all: {running.title}: {_counted(running)}", width="stretch")
        if running.can_be_undone:
            st.button("Undo", icon=":material/undo:", key="bulk_undo", on_click=_undo, args=(running,))
        st.button("", icon=":material/close:", key="bulk_close", help="Dismiss", on_click=_dismiss)
    _refusals(running)


def _counted(running: Bulk) -> str:
    tasks = "1 task" if running.done == 1 else f"{running.done:,} tasks"
    return f"{tasks}; {len(running.refusals):,} not" if running.refusals else tasks


def _refusals(running: Bulk) -> None:
    for each in running.refusals[: bulk.REFUSALS_NAMED]:
        st.markdown(f":orange[:material/info:] **{escape_markdown(each.task_name)}**: {escape_markdown(each.why)}")
    if len(running.refusals) > bulk.REFUSALS_NAMED:
        st.caption(f"And {len(running.refusals) - bulk.REFUSALS_NAMED:,} more.")


def _undo(running: Bulk) -> None:
    st.session_state[RUNNING] = bulk.undo(catalogue(), running)


def _dismiss() -> None:
    st.session_state.pop(RUNNING, None)


def _export(chosen_ids: Sequence[str]) -> str:
    """The chosen tasks as they are sent to the API."""
    ids = [UUID(each) for each in chosen_ids]
    documents: list[dict[str, Any]] = []
    for start in range(0, len(ids), EXPORTED_AT_ONCE):
        with catalogue().transaction() as session:
            documents += map(as_document, task_views.get_specs(session, ids[start : start + EXPORTED_AT_ONCE]))
    documents.sort(key=lambda document: str(document["name"]))
    return copying.as_yaml(documents)


@st.dialog("Pause these tasks", icon=":material/pause:")
def _pause_dialog() -> None:
    st.markdown(f"{len(chosen()):,} tasks will not be due, but can still be run by hand. What runs now goes on.")
    reason, until = pauses.fields(key="bulk_pause", zone=None)
    is_over = pauses.say_if_over(until)
    if pauses.confirm("Pause", key="bulk_pause", disabled=is_over):
        _begin("Paused", partial(bulk.pause, reason=reason, until=until), Role.OPERATOR)
        st.rerun()


@st.dialog("Tag these tasks", icon=":material/label:")
def _tag_dialog() -> None:
    add = st.text_input("Add, with commas between", key="bulk_tag_add", max_chars=500)
    remove = st.text_input("Remove, with commas between", key="bulk_tag_remove", max_chars=500)
    if pauses.confirm("Tag", key="bulk_tags", disabled=not (add or remove)):
        _begin("Tagged", partial(bulk.tag, add=_words(add), remove=_words(remove)), Role.EDITOR)
        st.rerun()


def _words(text: str | None) -> list[str]:
    return [word for each in (text or "").split(",") if (word := each.strip())]


@st.dialog("Delete these tasks", icon=":material/delete:")
def _delete_dialog() -> None:
    count = str(len(chosen()))
    st.markdown(f"They go to the trash, from where they can be restored. Type **{count}** to go on.")
    typed = st.text_input("How many", key="bulk_delete_count", max_chars=10)
    if pauses.confirm("Delete", key="bulk_delete", disabled=(typed or "").strip() != count):
        _begin("Deleted", bulk.delete, Role.EDITOR)
        st.rerun()

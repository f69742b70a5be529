"""A new task, or an old one edited: one form, which loses nothing that was typed and saves all of it or nothing."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from uuid import UUID

import streamlit as st

from dashboard import components, drafts, forms, navigation, schedule_form, task_form, tryout, viewer
from dashboard.conflict_view import conflict_view
from dashboard.context import catalogue, now
from dashboard.drafts import Draft
from dashboard.task_words import FIELD_LABELS
from dashboard.templates import TEMPLATES
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone
from db import task_views
from db.access import Role
from db.errors import TaskNotFound
from db.specs import as_document
from db.stored import BROKEN
from db.task_views import TaskView
from db.values import MAX_NAME

COPY = " (copy)"


def page() -> None:
    """The pages at `/new` and `/edit?id=`."""
    navigation.show_notice()
    try:
        draft = _draft()
    except (ValueError, TaskNotFound):  # an InvalidTask is one: what is broken is not copied
        st.title("There is no such task", anchor=False)
        st.markdown("It may have been removed for good, or the link is wrong.")
        navigation.back_link("tasks", "All tasks")
        return
    draft.undrawn = False
    if draft.saved is not None:
        navigation.notice("Saved." if draft.task_id else "Created.")
        navigation.go("task", id=str(draft.saved))
    _form(draft)


def _draft() -> Draft:
    """The one that is open, or a new one for what the address asks for.

    Raises:
        ValueError, TaskNotFound: the address names no task.
    """
    query = st.query_params
    asked = {name: query[name] for name in ("id", "copy", "template") if name in query}
    source = str(asked)
    found = drafts.opened(source)
    if found is not None:
        return found
    if "id" in asked:
        task = _task(asked["id"])
        return drafts.start(source, as_document(task.spec), task=task)
    if "copy" in asked:
        spec = as_document(_task(asked["copy"]).sound)
        return drafts.start(source, {**spec, "name": spec["name"][: MAX_NAME - len(COPY)] + COPY})
    template = TEMPLATES.get(asked.get("template", ""))
    filled = template.in_zone(viewer_zone()) if template else {}
    return drafts.start(source, forms.new_document(viewer_zone()) | filled)


def _task(text: str) -> TaskView:
    with catalogue().transaction() as session:
        return task_views.get_task(session, UUID(text), now=now())


def _form(draft: Draft) -> None:
    task_form.style()
    if draft.task_id:
        navigation.back_link("task", "Back without saving", id=str(draft.task_id))
    else:
        navigation.back_link("tasks", "Back without saving")
    st.title("Edit task" if draft.task_id else "New task", anchor=False)
    _keep(draft)
    conflict_view(draft)
    _broken(draft)
    problems = draft.problems()
    left, right = st.columns([1.35, 1], gap="medium")
    with left:
        task_form.identity(draft, problems)
        task_form.action(draft)
        task_form.policies(draft)
    with right:
        schedule_form.schedule(draft)
    tryout.show(draft)
    _save_bar(draft, problems)


def _broken(draft: Draft) -> None:
    """What is stored of a task that cannot be read: the form has what can."""
    if draft.broken is None:
        return
    st.error(f"{escape_markdown(BROKEN.format(why=draft.broken))} This is what is stored:", icon=":material/error:")
    st.code(json.dumps(draft.stored, indent=2, ensure_ascii=False), language="json", wrap_lines=True)


def _keep(draft: Draft) -> None:
    """What is typed outlives the server and a reload of the page."""
    data = {**drafts.as_kept(draft), "forget": st.session_state.pop(drafts.FORGET, False)}
    components.keep(data, key="edit_keep", on_restore=partial(drafts.restore, draft))
    draft.is_new = False
    place = st.container()  # there in any case, so that what is below keeps its place and is not drawn anew
    if draft.restored:
        with place, st.container(border=True, horizontal=True, vertical_alignment="center", key="edit_restored"):
            st.markdown(":material/history: Your unsaved text was brought back.", width="stretch")
            st.button("Start afresh", key="edit_afresh", on_click=drafts.start_afresh)


def _save_bar(draft: Draft, problems: Mapping[str, str]) -> None:
    with st.bottom, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        message = draft.failure or _summary(problems)
        if message:
            st.markdown(f":red[:material/error: {escape_markdown(message)}]", width="content")
        tryout.button(draft)
        if draft.conflict:
            st.button("Discard my changes", key="edit_discard", on_click=drafts.use_theirs, args=(draft,))
            _save_button(draft, "Save what is chosen", drafts.save_merged)
        else:
            _save_button(draft, "Save task" if draft.task_id else "Create task", drafts.save)


def _save_button(draft: Draft, label: str, save: Callable[[Draft], None]) -> None:
    viewer.button(
        label,
        takes=Role.EDITOR,
        type="primary",
        key="edit_save",
        icon=":material/check:",
        shortcut="Ctrl+Enter",
        on_click=save,
        args=(draft,),
    )


def _summary(problems: Mapping[str, str]) -> str:
    if not problems:
        return ""
    names = [FIELD_LABELS.get(name, name) for name in problems]
    return f"Not saved yet. Look at: {', '.join(names)}."

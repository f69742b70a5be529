"""The dialog that runs a task once with something changed: a test, which leaves the task as it is."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import commands, forms, navigation, pauses
from dashboard.context import now
from dashboard.task_words import FIELD_LABELS
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone
from db.specs import InvalidTask, as_document
from db.states import Kind
from db.task_views import TaskView

CHANGEABLE = {
    Kind.SHELL: ("command", "env"),
    Kind.HTTP: ("url", "headers", "body"),
    Kind.PYTHON: ("kwargs",),
    Kind.FLOW: ("parameters",),
}


@st.dialog("Run with changes", icon=":material/science:", width="large")
def show(task: TaskView) -> None:
    """What it does, to be changed for this run alone."""
    st.markdown("This run alone is changed, and marked as a test. The task and its due times stay as they are.")
    document = as_document(task.spec)
    fields = forms.fields_of(document, zone=viewer_zone(), now=now())
    changed = {name: _field(name, fields[name]) for name in CHANGEABLE[Kind(task.spec.kind)] if _is_shown(name, fields)}
    if pauses.confirm("Run", key="changed"):
        _run(task, document, fields | changed)


def _is_shown(name: str, fields: Mapping[str, Any]) -> bool:
    return name != "body" or fields["body_kind"] != forms.NO_BODY


def _field(name: str, value: str) -> str:
    return st.text_area(FIELD_LABELS[name], value, key=f"changed_{name}", height=110) or ""


def _run(task: TaskView, document: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    try:
        action = as_document(forms.read(fields, base=document))["action"]
    except InvalidTask as error:
        for name, message in forms.problems(error).items():
            st.error(f"{FIELD_LABELS.get(name, name)}: {escape_markdown(message)}", icon=":material/error:")
        return
    request = commands.run_now(task.id, action)
    if request is not None:
        navigation.go("run", id=str(request))

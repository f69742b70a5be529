"""The dialog that shows a task as text to take elsewhere."""

from urllib.parse import urlsplit

import streamlit as st

from dashboard import copying
from dashboard.context import catalogue
from db import sync
from db.task_views import TaskView

FORMS = {"curl": "bash", "YAML": "yaml", "prefect.yaml": "yaml"}


@st.dialog("Copy this task", icon=":material/data_object:", width="large")
def show(task: TaskView) -> None:
    """One form at a time."""
    form = st.segmented_control("As", list(FORMS), default="curl", required=True, key="copy_form") or "curl"
    text = _text(task, form)
    if text is None:
        st.info("Prefect has not been told of this task yet. Look again in a moment.", icon=":material/cloud:")
        return
    st.code(text, language=FORMS[form], wrap_lines=True, height=420)
    if form == "prefect.yaml":
        st.caption("Put it below `deployments:`. What Prefect cannot say, such as policies, is not in it.")


def _text(task: TaskView, form: str) -> str | None:
    match form:
        case "curl":
            address = urlsplit(st.context.url or "http://127.0.0.1:3000")
            return copying.curl(task.spec, f"{address.scheme}://{address.netloc}")
        case "YAML":
            return copying.document(task.spec)
        case _:
            with catalogue().transaction() as session:
                applied = sync.applied(session, task.id)
            return copying.prefect_yaml(applied) if applied else None

"""The script that Streamlit runs for every page: the frame around it, and the way to it."""

from pathlib import Path

import streamlit as st

from dashboard import components, ledger_notice, navigation
from dashboard.app_pages import edit, run, runs, task, tasks

STATIC = Path(__file__).with_name("static")

st.set_page_config(page_title="Duetime", page_icon=str(STATIC / "favicon.svg"), layout="wide")
st.logo(str(STATIC / "logo.svg"), size="medium")
components.shell()
above = ledger_notice.above()
navigation.run(
    [
        navigation.page(tasks.page, "tasks", title="Tasks", icon="checklist"),
        navigation.page(runs.page, "runs", title="Runs", icon="history"),
        navigation.page(task.page, "task", title="Task", icon="task_alt", visible=False),
        navigation.page(run.page, "run", title="Run", icon="terminal", visible=False),
        navigation.page(edit.page, "new", title="New task", icon="add", visible=False),
        navigation.page(edit.page, "edit", title="Edit task", icon="edit", visible=False),
    ]
)
ledger_notice.show(above)

"""The script that Streamlit runs for every page: the frame around it, and the way to it."""

from pathlib import Path

import streamlit as st

from dashboard import components, ledger_notice, navigation
from dashboard.app_pages import (
    access,
    audit,
    calendar,
    due,
    edit,
    messages,
    problems,
    run,
    runs,
    settings,
    task,
    tasks,
    today,
    workers,
)

STATIC = Path(__file__).with_name("static")

st.set_page_config(page_title="Duetime", page_icon=str(STATIC / "favicon.svg"), layout="wide")
st.logo(str(STATIC / "logo.svg"), size="medium")
components.shell()
above = ledger_notice.above()
navigation.run(
    {
        navigation.NO_MENU: [
            navigation.page(today.page, "today", title="Today", icon="today"),
            navigation.page(tasks.page, "tasks", title="Tasks", icon="checklist"),
            navigation.page(runs.page, "runs", title="Runs", icon="history"),
            navigation.page(calendar.page, "calendar", title="Calendar", icon="calendar_month"),
            navigation.page(problems.page, "problems", title="Problems", icon="priority_high"),
            navigation.page(task.page, "task", title="Task", icon="task_alt", visible=False),
            navigation.page(run.page, "run", title="Run", icon="terminal", visible=False),
            navigation.page(edit.page, "new", title="New task", icon="add", visible=False),
            navigation.page(edit.page, "edit", title="Edit task", icon="edit", visible=False),
            navigation.page(due.page, "due", title="Due times", icon="fact_check", visible=False),
        ],
        "Manage": [
            navigation.page(workers.page, "workers", title="Workers", icon="memory"),
            navigation.page(audit.page, "audit", title="Audit & trash", icon="manage_history"),
            navigation.page(messages.page, "messages", title="Messages", icon="notifications"),
            navigation.page(access.page, "access", title="Access", icon="key"),
            navigation.page(settings.page, "settings", title="Settings", icon="settings"),
        ],
    }
)
ledger_notice.show(above)

"""What is set, where it is changed, and what else there is: everything that a page cannot change by itself."""

import os
from collections.abc import Sequence
from importlib.metadata import version

import streamlit as st

from dashboard import components, keeping
from dashboard.binding import PASSWORD, PROVIDER
from dashboard.components import Column
from dashboard.context import catalogue
from dashboard.task_cards import card_title
from dashboard.task_header import PREFECT_URL
from dashboard.viewer import viewer_zone, visitor

Fact = tuple[str, str, str]
"""What it is, what it is set to, and where that is changed."""
KEYS = (
    ("/", "Search, where there is a list"),
    ("n", "New task"),
    ("j, k", "The next row, the one before"),
    ("Enter", "Open the row"),
    ("Ctrl+Enter", "Save, in a form"),
    ("?", "These keys"),
)


def page() -> None:
    """The page at `/settings`."""
    st.title("Settings", anchor=False)
    left, right = st.columns([1.5, 1], gap="small")
    with left:
        _facts("This installation", "dns", _installation())
        _facts("How long things are kept", "auto_delete", _kept())
    with right:
        _keys()
        _links()


def _installation() -> list[Fact]:
    url = catalogue().engine.url
    return [
        ("Duetime", version("duetime"), "make setup, after a git pull"),
        ("Streamlit", version("streamlit"), "requirements.lock"),
        ("Catalogue", f"{url.host or 'local'}:{url.port or 5432}, database {url.database}", "DUETIME_DATABASE_URL"),
        ("Prefect's page", os.environ.get(PREFECT_URL, "not known"), PREFECT_URL),
        ("Sign-in", _sign_in(), "the page Access"),
        (
            "Alarm when all is not well",
            "set" if os.environ.get("DUETIME_DEAD_MAN_URL") else "none",
            "DUETIME_DEAD_MAN_URL",
        ),
        ("Your time zone", viewer_zone(), "your browser"),
    ]


def _sign_in() -> str:
    ways = {
        "accounts": bool(visitor().account_id),
        "a password for all": bool(os.environ.get(PASSWORD)),
        "an identity provider": bool(os.environ.get(PROVIDER)),
    }
    return ", ".join(way for way, is_there in ways.items() if is_there) or "none, on this machine only"


def _kept() -> list[Fact]:
    with catalogue().transaction() as session:
        kept = keeping.read(session)
    if kept is None:
        return [("Everything", "for ever: no task named housekeeping is active", "prefect deploy --name housekeeping")]
    where = "the parameters of the task housekeeping"
    spans = {"Runs": kept.runs, "Logs": kept.logs, "Due times": kept.due_times, "Trash": kept.trash}
    return [(name, f"{span.days:,} days", where) for name, span in spans.items()]


def _facts(title: str, icon: str, facts: Sequence[Fact]) -> None:
    with st.container(border=True, gap="small"):
        card_title(title, icon)
        components.grid(
            [{"id": name, "name": name, "value": value, "where": where} for name, value, where in facts],
            [Column("name", "What"), Column("value", "Set to", "prose"), Column("where", "Changed by", "code")],
            key=f"settings_{icon}",
            label=title,
            dense=True,
            cards=True,
        )


def _keys() -> None:
    with st.container(border=True, gap="small"):
        card_title("Keys", "keyboard")
        components.grid(
            [{"id": key, "key": key, "what": what} for key, what in KEYS],
            [Column("key", "Key", "code"), Column("what", "What it does", "prose")],
            key="settings_keys",
            label="Keys",
            dense=True,
            head=False,
        )


def _links() -> None:
    with st.container(border=True, gap="small"):
        card_title("Elsewhere", "open_in_new")
        st.link_button("The API's own description", "/api/docs", icon=":material/api:", type="tertiary")
        st.link_button("Figures for Prometheus", "/metrics", icon=":material/monitoring:", type="tertiary")
        if prefect := os.environ.get(PREFECT_URL):
            st.link_button("Prefect", prefect, icon=":material/open_in_new:", type="tertiary")

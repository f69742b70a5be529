"""The fields of the task form but its schedule: who it is, what it does, and its policies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import reads
from dashboard.drafts import Draft, collect_in_fragment, held, key
from dashboard.forms import JSON_BODY, NO_BODY, TEXT_BODY
from dashboard.policies import DEFAULTS, SENTENCES, summary
from dashboard.task_words import FIELD_LABELS, KINDS
from dashboard.text import escape_markdown
from db.actions import MAX_COMMAND
from db.errors import CatalogueUnavailable
from db.specs import MAX_TAGS
from db.values import MAX_JSON, MAX_NAME, MAX_SECONDS

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
BODIES = {NO_BODY: "None", TEXT_BODY: "Text", JSON_BODY: "JSON"}
MONOSPACE = ("command", "env", "headers", "body", "kwargs", "parameters", "cron")
Problems = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Number:
    """The limits of a number, what it means and, where it may be empty, what that means."""

    least: int
    most: int
    help: str
    empty: str = ""


NUMBERS = {
    "timeout_seconds": Number(1, MAX_SECONDS, "Default: 3600, one hour. Empty for no limit.", "No limit"),
    "max_lateness_seconds": Number(
        0, MAX_SECONDS, "A due time that could not be run for so long is missed. Default: empty.", "However late it is"
    ),
    "retries": Number(0, 100, "How often a failed run is tried again. Default: 0."),
    "retry_delay_seconds": Number(0, 7 * 24 * 3600, "Default: 10."),
}


def style() -> None:
    """Code is written in the font of code."""
    fields = ", ".join(f".st-key-{key(name)} :is(textarea, input)" for name in MONOSPACE)
    st.html(f"<style>{fields} {{ font-family: 'JetBrains Mono', ui-monospace, monospace; font-size: 0.93em; }}</style>")


def card_title(text: str, *, icon: str | None = None) -> None:
    """A card's heading, without the space above that headings have in a text."""
    with st.container(horizontal=True):
        st.subheader(text, icon=icon, anchor=False)


def say_problem(problems: Problems, name: str) -> None:
    """What is wrong with a field, below it."""
    if name in problems:
        st.markdown(f":small[:red[:material/error: {escape_markdown(problems[name])}]]")


def text_field(problems: Problems, name: str, **options: Any) -> None:
    """One line."""
    # Never required=True: the browser would keep an emptied field to itself, and its old text would be saved.
    st.text_input(FIELD_LABELS[name], key=held(name), on_change="ignore", **options)
    say_problem(problems, name)


def area_field(problems: Problems, name: str, *, height: int, max_chars: int = MAX_JSON, **options: Any) -> None:
    """Several lines."""
    st.text_area(FIELD_LABELS[name], key=held(name), height=height, max_chars=max_chars, on_change="ignore", **options)
    say_problem(problems, name)


def identity(draft: Draft, problems: Problems) -> None:
    """Name, description and tags."""
    with st.container(border=True):
        card_title("Task")
        text_field(problems, "name", max_chars=MAX_NAME)
        area_field(problems, "description", height=80, max_chars=5000)
        st.multiselect(
            FIELD_LABELS["tags"],
            sorted({*_tags_in_use(), *draft.fields["tags"]}),
            key=held("tags"),
            accept_new_options=True,
            max_selections=MAX_TAGS,
            placeholder="Choose or write tags",
            on_change="ignore",
        )
        say_problem(problems, "tags")


def _tags_in_use() -> Sequence[str]:
    """None while the database is away: what is typed must stay on the page."""
    try:
        return reads.tags()
    except CatalogueUnavailable:
        return []


@st.fragment(key="edit_action")
def action(draft: Draft) -> None:
    """What it does; another kind brings other fields, and what was in the old ones is kept."""
    collect_in_fragment(draft)
    problems = draft.problems()
    with st.container(border=True):
        card_title("What it does")
        st.segmented_control(
            "Kind", list(KINDS), format_func=KINDS.__getitem__, key=held("kind"), required=True, width="stretch"
        )
        {"shell": _shell, "http": _http, "python": _python, "flow": _flow}[draft.fields["kind"]](problems)
        say_problem(problems, "action")


def _shell(problems: Problems) -> None:
    area_field(
        problems,
        "command",
        height=150,
        max_chars=MAX_COMMAND,
        placeholder="pg_dump shop | gzip > /backup/shop.gz",
        help="Given to /bin/sh on the worker. It finds its due time in DUETIME_DUE_AT.",
    )
    area_field(problems, "env", height=90, placeholder="NAME=value", help="One variable a line.")
    left, right = st.columns(2)
    with left:
        text_field(problems, "cwd", max_chars=4096, placeholder="That of the worker")
    with right:
        text_field(problems, "success_exit_codes", help="Several are separated by commas.")


def _http(problems: Problems) -> None:
    left, right = st.columns([1, 3.2])
    left.selectbox(FIELD_LABELS["method"], METHODS, key=held("method"), on_change="ignore")
    with right:
        text_field(problems, "url", max_chars=8192, placeholder="https://")
    area_field(problems, "headers", height=90, placeholder="Name: value", help="One header a line.")
    kind = st.segmented_control(
        FIELD_LABELS["body_kind"], list(BODIES), format_func=BODIES.__getitem__, key=held("body_kind"), required=True
    )
    if kind != NO_BODY:
        area_field(problems, "body", height=130)
    text_field(problems, "expect_status", max_chars=200, help="Codes or classes of codes, such as 2xx or 200,204.")
    st.toggle(FIELD_LABELS["follow_redirects"], key=held("follow_redirects"), on_change="ignore")
    st.toggle(FIELD_LABELS["verify_tls"], key=held("verify_tls"), on_change="ignore")


def _python(problems: Problems) -> None:
    text_field(
        problems,
        "callable",
        max_chars=500,
        placeholder="package.module:function",
        help="It must be importable on the worker.",
    )
    area_field(problems, "kwargs", height=130, help="Keyword arguments, as a JSON object.")


def _flow(problems: Problems) -> None:
    text_field(
        problems,
        "entrypoint",
        max_chars=500,
        placeholder="package.module:flow",
        help="A Prefect flow that the worker can import or find.",
    )
    area_field(problems, "parameters", height=130, help="A JSON object.")


@st.fragment(key="edit_policies")
def policies(draft: Draft) -> None:
    """What happens when something goes otherwise than planned, with all of it in one line above."""
    fields = collect_in_fragment(draft)
    problems = draft.problems()
    wrong = any(name in problems for name in (*NUMBERS, "work_pool"))
    with st.expander(f"**Policies**: {summary(fields)}", key="edit_policies_open", expanded=wrong):
        left, right = st.columns(2)
        with left:
            for name, words in SENTENCES.items():
                _choice(name, words)
        with right:
            for name, number in NUMBERS.items():
                _number(problems, name, number)
        text_field(problems, "work_pool", max_chars=MAX_NAME, help="The workers of this Prefect work pool run it.")


def _choice(name: str, words: Mapping[str, str]) -> None:
    def say(option: str) -> str:
        return f"{words[option]} (default)" if option == DEFAULTS[name] else words[option]

    st.selectbox(FIELD_LABELS[name], list(words), format_func=say, key=held(name), filter_mode=None)


def _number(problems: Problems, name: str, number: Number) -> None:
    st.number_input(
        FIELD_LABELS[name],
        number.least,
        number.most,
        value=None,
        step=1,
        key=held(name),
        placeholder=number.empty,
        help=number.help,
    )
    say_problem(problems, name)

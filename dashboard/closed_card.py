"""The card of calendars: when it is closed, for all tasks that follow one."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import admin_commands, closed_texts, components, ics, pauses, viewer
from dashboard.components import Column
from dashboard.context import catalogue, now
from dashboard.failures import outage_shown
from dashboard.moments import moment
from dashboard.task_cards import card_title
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone
from db import calendars
from db.access import Role
from db.calendars import Listed
from db.closures import Entries
from db.values import MAX_NAME

FRAGMENT = "calendar_closed"
CHANGE = {"key": "change", "icon": "edit", "label": "Change", "takes": Role.ADMIN}
REMOVE = {"key": "remove", "icon": "ban", "label": "Remove", "takes": Role.ADMIN}
TEXT = "calendar_text"
SHOWN = 3
EXAMPLE = "every sat, sun Weekend\nevery year 12-25 Christmas Day\n2026-12-24 14:00 to 2026-12-27 Shop closed"


@st.fragment(key=FRAGMENT)
def show() -> None:
    """Draws it."""
    with outage_shown():
        with catalogue().transaction() as session:
            found = calendars.list_calendars(session)
        _draw(found)


def _draw(found: Sequence[Listed]) -> None:
    by_name = {each.name: each for each in found}
    with st.container(border=True, gap="small", key="closed_days"):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title("Closed days", "event_busy")
            if viewer.pressed("Add a calendar", takes=Role.ADMIN, icon=":material/add:", key="add_calendar"):
                st.session_state.pop(TEXT, None)
                _dialog(None)
        components.grid(
            [_row(each) for each in found],
            [
                Column("name", "Calendar", "title"),
                Column("says", "Closed", "prose"),
                Column("used", "Tasks", align="right"),
                Column("at", "Changed", "away"),
            ],
            key="calendars_grid",
            label="Calendars",
            cards=True,
            empty="There are none. Tasks that follow a calendar do not run on its holidays and in its blackouts.",
            on_action=lambda name, action: _act(by_name[name], action),
        )


def _row(each: Listed) -> dict[str, Any]:
    return {
        "id": each.name,
        "name": {"text": each.name},
        "says": _said(each.entries) if each.broken is None else f"It cannot be read any more: {each.broken}.",
        "used": f"{each.used_by:,}",
        "at": moment(each.updated_at, viewer_zone()),
        "rev": each.version,
        "actions": [CHANGE, REMOVE],
    }


def _said(entries: Entries) -> str:
    lines = closed_texts.write(entries[:SHOWN]).split("\n") if entries else ["never"]
    more = f", and {len(entries) - SHOWN:,} more" if len(entries) > SHOWN else ""
    return "; ".join(lines) + more


def _act(each: Listed, action: str) -> None:
    if action == "remove":
        admin_commands.remove_calendar(each.name)
    else:
        st.session_state[TEXT] = closed_texts.write(each.entries)
        _dialog(each)


@st.dialog("Calendar", icon=":material/event_busy:", width="large")
def _dialog(calendar: Listed | None) -> None:
    name = calendar.name if calendar else st.text_input("Name", key="calendar_name", max_chars=MAX_NAME)
    if calendar is not None:
        st.markdown(f"**{escape_markdown(calendar.name)}**, {_tasks(calendar.used_by)}")
    _take_file()
    text = st.text_area("When it is closed, a line each", key=TEXT, height=260, placeholder=EXAMPLE)
    st.caption("On the wall clock of each task: its own time zone.")
    if not pauses.confirm("Save", key="calendar"):
        return
    try:
        entries = closed_texts.read(text or "")
    except ValueError as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
        return
    if not (name or "").strip() or "/" in (name or ""):
        st.error("Write a name without a slash.", icon=":material/error:")
        return
    if admin_commands.save_calendar((name or "").strip(), entries, seen_version=calendar.version if calendar else None):
        st.rerun()


def _tasks(count: int) -> str:
    return "followed by 1 task" if count == 1 else f"followed by {count:,} tasks"


def _take_file() -> None:
    """Adds what an .ics file says to the text, once."""
    given = st.file_uploader("From an .ics file", type="ics", key="calendar_file", max_upload_size=1)
    if given is None or st.session_state.get("calendar_file_taken") == given.file_id:
        return
    st.session_state["calendar_file_taken"] = given.file_id
    try:
        found = ics.read(given.getvalue().decode("utf-8-sig"), today=now().date())
    except (ics.NotACalendar, UnicodeDecodeError) as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
        return
    lines = [st.session_state.get(TEXT) or "", closed_texts.write(found.entries)]
    st.session_state[TEXT] = "\n".join(line for line in lines if line)
    _say_left_out(found.left_out)


def _say_left_out(sentences: Sequence[str]) -> None:
    if sentences:
        more = f", and {len(sentences) - SHOWN:,} more" if len(sentences) > SHOWN else ""
        st.warning(escape_markdown(f"Left out: {' '.join(sentences[:SHOWN])}{more}"), icon=":material/warning:")

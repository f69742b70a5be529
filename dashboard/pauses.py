"""The fields of the dialogs that pause: why, and until when."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard.context import now
from dashboard.viewer import viewer_zone

FOREVER, AT_A_TIME = "Until I resume it", "Until …"
PAUSES = {FOREVER: None, "For an hour": timedelta(hours=1), "For a day": timedelta(days=1), AT_A_TIME: None}


def fields(*, key: str, zone: str | None) -> tuple[str, datetime | None]:
    """The reason, and until when; None for ever. Without a zone, times are the reader's."""
    reason = st.text_input("Reason", key=f"{key}_reason", max_chars=500, placeholder="For whoever wonders")
    choice = st.radio("How long", list(PAUSES), key=f"{key}_how_long", horizontal=True)
    return reason or "", _until(choice, zone or viewer_zone(), key)


def _until(choice: str, zone: str, key: str) -> datetime | None:
    if choice == AT_A_TIME:
        tomorrow = (now() + timedelta(days=1)).astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
        at = st.datetime_input(f"Until, {zone}", value=tomorrow.replace(tzinfo=None), key=f"{key}_until")
        return at.replace(tzinfo=ZoneInfo(zone)) if at else None
    length = PAUSES[choice]
    return now() + length if length else None


def say_if_over(until: datetime | None) -> bool:
    """Whether the pause would be over before it began."""
    is_over = until is not None and until <= now()
    if is_over:
        st.error("This moment has passed. Choose a later one.", icon=":material/error:")
    return is_over


def confirm(label: str, *, key: str, disabled: bool = False) -> bool:
    """The two buttons below a dialog; whether it was confirmed. Cancel closes it."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Cancel", key=f"{key}_cancel"):
            st.rerun()
        return st.button(label, type="primary", key=f"{key}_confirm", disabled=disabled)

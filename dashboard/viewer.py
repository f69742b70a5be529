"""Who looks at the page."""

from zoneinfo import ZoneInfo

import streamlit as st

ACTOR = "dashboard"
"""What the audit says of changes made here."""


def viewer_zone() -> str:
    """The time zone of the reader's browser; UTC where we do not know it."""
    zone = st.context.timezone or "UTC"
    try:
        ZoneInfo(zone)
    except (ValueError, OSError):
        return "UTC"
    return zone

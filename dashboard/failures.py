"""What a page shows when it cannot be drawn: a sentence and a reference, never a traceback."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard import components
from dashboard.text import escape_markdown
from db.errors import CatalogueError, CatalogueUnavailable

log = logging.getLogger(__name__)


def show_failure(error: Exception) -> bool:
    """Called by Streamlit in the failing run. True: Streamlit shows nothing of its own."""
    if isinstance(error, CatalogueUnavailable):
        show_outage()
        components.live([], [], key="outage_live")
    elif isinstance(error, CatalogueError):
        st.error(escape_markdown(str(error)), icon=":material/error:")
    else:
        reference = secrets.token_hex(4)
        log.error("A page could not be drawn, reference %s", reference, exc_info=error)
        st.error("Something went wrong on this page.", icon=":material/error:")
        st.caption(f"The log has the details under the reference {reference}.")
        st.button("Try again", key="try_again", icon=":material/refresh:")
    return True


def show_outage() -> None:
    """The database does not answer."""
    st.warning(
        "The database does not answer. Tasks go on where they can; this page comes back by itself.",
        icon=":material/cloud_off:",
    )


@contextmanager
def outage_shown() -> Iterator[None]:
    """A part of a page that shows an outage in its place; the page's own `live` brings it back."""
    try:
        yield
    except CatalogueUnavailable:
        show_outage()

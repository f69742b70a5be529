"""Who looks at the page, and what they may do there."""

from collections.abc import Sequence
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard.doorman import Denied, posted
from db.access import Role, Visitor
from db.errors import NotAllowed

ACTOR = "dashboard"
"""What the audit says of changes made here, before the name of whoever made them."""


KEPT = "_kept_"
STILL_MEANT_SECONDS = 5.0
"""Who has left the page and comes back later does not want the dialog any more."""


def viewer_zone() -> str:
    """The time zone of the reader's browser; UTC where we do not know it."""
    zone = st.context.timezone or "UTC"
    try:
        ZoneInfo(zone)
    except (ValueError, OSError):
        return "UTC"
    return zone


def visitor() -> Visitor:
    """Whoever opened this page, with what they may do by now.

    Raises:
        NotAllowed: they are not signed in any more.
        CatalogueUnavailable: PostgreSQL does not answer.
    """
    brought = st.context.headers
    found = posted().check(brought.get("cookie", ""), brought.get("authorization", ""), address())
    if isinstance(found, Denied):
        raise NotAllowed("You are not signed in any more. Open the page again.")
    return found


def address() -> str:
    """From where the page is looked at."""
    return str(st.context.ip_address or "127.0.0.1")


def actor(by: Visitor) -> str:
    """What the audit calls them."""
    return f"{ACTOR}:{by.name}" if by.name else ACTOR


def may(role: Role) -> bool:
    """Whether whoever looks at the page may do what takes this role."""
    return visitor().role.includes(role)


def button(label: str, *, takes: Role, disabled: bool = False, help: str | None = None, **more: Any) -> bool:
    """A button of Streamlit's for what takes a role: it cannot be pressed by whoever has a lesser one."""
    if not may(takes):
        disabled, help = True, f"This takes the role {takes}."
    return st.button(label, disabled=disabled, help=help, **more)


def pressed(label: str, *, takes: Role, key: str, **more: Any) -> bool:
    """Whether such a button was pressed, for what is drawn after it, as a dialog is.

    Streamlit tells only the run that follows the click. Where a hint has the page drawn anew at that moment, that run
    is ended before it gets here; so the click is kept for the run that does.
    """
    button(label, takes=takes, key=key, on_click=_keep, args=(key,), **more)
    return _kept(key) is not None


def chosen(label: str, options: Sequence[str], *, key: str, **more: Any) -> str | None:
    """What was chosen in a menu, likewise."""
    st.menu_button(label, options, key=key, on_click=_keep, args=(key,), **more)
    found: str | None = _kept(key)
    return found


def _keep(key: str) -> None:
    st.session_state[f"{KEPT}{key}"] = st.session_state[key], monotonic()


def _kept(key: str) -> Any:
    click, at = st.session_state.pop(f"{KEPT}{key}", (None, 0.0))
    return click if monotonic() - at < STILL_MEANT_SECONDS else None

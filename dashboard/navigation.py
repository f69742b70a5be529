"""Which pages there are, and how to get from one to another."""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import NoReturn
from urllib.parse import parse_qsl, urlsplit

import streamlit as st
from streamlit.navigation.page import Page

HOME = "today"
PATHS = [
    *("today", "tasks", "runs", "calendar", "problems"),
    *("workers", "audit", "messages", "access", "settings"),
    *("task", "run", "due", "new", "edit"),
]

NO_MENU = ""
"""The pages that are named at the top themselves."""
_PAGES = "_pages"
_NOTICE = "_notice"
_GOING = "_going"
STILL_MEANT_SECONDS = 5.0
"""Who got elsewhere by a link meanwhile is not brought back."""


def page(draw: Callable[[], None], path: str, *, title: str, icon: str, visible: bool = True) -> Page:
    """A page under its path."""
    visibility = "visible" if visible else "hidden"
    return st.Page(draw, title=title, icon=f":material/{icon}:", url_path=path, visibility=visibility)  # type: ignore[arg-type]


def run(pages: Mapping[str, Sequence[Page]]) -> None:
    """Draws the page that the address names. The pages are by the menu that they are in."""
    # Streamlit gives its default page the bare address only, so the default is one that leads home.
    start = st.Page(_go_home, title="Duetime", url_path="home", default=True, visibility="hidden")
    st.session_state[_PAGES] = {each.url_path: each for menu in pages.values() for each in menu}
    here = st.navigation({NO_MENU: [start, *pages[NO_MENU]], **_others(pages)}, position="top")
    _go_on(here)
    here.run()


def _others(pages: Mapping[str, Sequence[Page]]) -> dict[str, list[Page]]:
    return {menu: list(found) for menu, found in pages.items() if menu != NO_MENU}


def _go_home() -> None:
    go(HOME)


def go(path: str, **query: str) -> NoReturn:
    """Leaves for another page."""
    st.session_state[_GOING] = path, query, monotonic()
    st.switch_page(st.session_state[_PAGES][path], query_params=query)


def _go_on(here: Page) -> None:
    """Goes where `go` was about to.

    Streamlit makes one run of several that are asked for at the same time, for the page of the last of them: a hint
    that comes from the page that is being left would keep its reader there.
    """
    if _GOING not in st.session_state:
        return
    path, query, at = st.session_state[_GOING]
    is_there = here.url_path == path and all(st.query_params.get(name) == value for name, value in query.items())
    if is_there or monotonic() - at >= STILL_MEANT_SECONDS:
        del st.session_state[_GOING]
    else:
        st.switch_page(st.session_state[_PAGES][path], query_params=query)


def follow(link: str) -> NoReturn:
    """Leaves for the page of a link, such as `runs?run_state=Failed`."""
    address = urlsplit(link)
    go(address.path, **dict(parse_qsl(address.query)))


def link(path: str, label: str, **query: str) -> None:
    """A way to another page."""
    st.page_link(st.session_state[_PAGES][path], label=label, query_params=query)


def back_link(path: str, label: str, **query: str) -> None:
    """A way back, above a page's title."""
    st.page_link(st.session_state[_PAGES][path], label=label, icon=":material/arrow_back:", query_params=query)


def notice(message: str) -> None:
    """Says something on whatever page is drawn next."""
    st.session_state[_NOTICE] = message


def show_notice() -> None:
    """Says what `notice` left, once."""
    message = st.session_state.pop(_NOTICE, None)
    if message:
        st.toast(message, icon=":material/check_circle:")

"""The buttons below a list of many pages. Where in it somebody is, is in the address."""

import streamlit as st


def show(next_cursor: str | None, *, parameter: str) -> None:
    """Back to the newest, and on to older ones; nothing where there is one page."""
    if next_cursor is None and parameter not in st.query_params:
        return
    with st.container(horizontal=True, horizontal_alignment="right"):
        if parameter in st.query_params:
            st.button(
                "Newest",
                icon=":material/first_page:",
                key=f"{parameter}_newest",
                on_click=newest,
                args=(parameter,),
            )
        if next_cursor:
            st.button(
                "Older",
                icon=":material/chevron_right:",
                icon_position="right",
                key=f"{parameter}_older",
                on_click=_older,
                args=(parameter, next_cursor),
            )


def newest(parameter: str) -> None:
    """From the beginning again."""
    st.query_params.pop(parameter, None)


def _older(parameter: str, cursor: str) -> None:
    st.query_params[parameter] = cursor

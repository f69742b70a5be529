"""A hint draws parts of the page again, and never keeps the whole page from being drawn."""

import pytest
from streamlit.testing.v1 import AppTest


def _page() -> None:
    import streamlit as st

    from dashboard import components

    st.session_state["pages"] = st.session_state.get("pages", 0) + 1

    @st.fragment(key="part")
    def part() -> None:
        st.session_state["parts"] = st.session_state.get("parts", 0) + 1

    part()
    st.button("Click", key="click", on_click=components.draw_again, args=(["part"],))


@pytest.fixture
def app() -> AppTest:
    return AppTest.from_function(_page, default_timeout=20).run()


def test_a_hint_together_with_a_run_of_the_whole_page_leaves_that_run_alone(app: AppTest) -> None:
    app.button("click").click().run()
    assert (app.session_state["pages"], app.session_state["parts"]) == (2, 2)

"""A click counts once, also where its run of the page is ended before it gets to what the click is for."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import viewer


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr(viewer, "may", lambda _role: True)
    return AppTest.from_function(_page, default_timeout=20).run()


def _page() -> None:
    import streamlit as st

    from dashboard import viewer
    from db.access import Role

    said = st.session_state.setdefault("said", [])
    if st.session_state.pop("ends early", False):
        st.rerun()
    if viewer.pressed("Pause", takes=Role.OPERATOR, key="pause"):
        said.append("Pause")
    if word := viewer.chosen("More", ["Duplicate", "Copy"], key="more"):
        said.append(word)
    if st.button("Plain", key="plain"):
        said.append("Plain")


@pytest.mark.parametrize("ends_early", [False, True])
def test_a_click_is_kept_for_the_run_that_gets_to_it_and_counts_once(app: AppTest, ends_early: bool) -> None:
    app.session_state["ends early"] = ends_early
    app.button("pause").click().run()
    app.session_state["ends early"] = ends_early
    app.menu_button("more").click("Copy").run()
    app.run()
    assert app.session_state["said"] == ["Pause", "Copy"]


def test_streamlit_itself_forgets_such_a_click(app: AppTest) -> None:
    app.session_state["ends early"] = True
    app.button("plain").click().run()
    assert app.session_state["said"] == []


def test_a_click_on_a_page_that_was_left_is_forgotten(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    app.session_state["_kept_pause"] = (True, 1000.0)
    monkeypatch.setattr(viewer, "monotonic", lambda: 1000.0 + viewer.STILL_MEANT_SECONDS)
    app.run()
    assert app.session_state["said"] == []

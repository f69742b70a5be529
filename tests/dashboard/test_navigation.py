"""Whoever is on the way to another page gets there, whatever else was asked for at that moment."""

from time import monotonic

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import navigation


@pytest.fixture
def app() -> AppTest:
    found = AppTest.from_function(_app, default_timeout=20).run()
    assert shown(found) == ["Today"]
    return found


def _app() -> None:
    import streamlit as st

    from dashboard import navigation

    def today() -> None:
        st.title("Today")

    def edit() -> None:
        st.title(f"Edit {st.query_params['id']}")

    pages = [
        navigation.page(today, "today", title="Today", icon="today"),
        navigation.page(edit, "edit", title="Edit", icon="edit"),
    ]
    st.button("Go", key="go", on_click=navigation.go, args=("edit",), kwargs={"id": "7"})
    navigation.run({navigation.NO_MENU: pages})


def shown(app: AppTest) -> list[str]:
    assert not app.exception, app.exception
    return [each.value for each in app.title]


def test_it_leads_to_the_page_and_stays_there(app: AppTest) -> None:
    assert shown(app.button("go").click().run()) == ["Edit 7"]
    assert shown(app.run()) == ["Edit 7"]


def test_a_run_for_the_page_that_is_being_left_goes_on_to_the_other(app: AppTest) -> None:
    app.session_state["_going"] = ("edit", {"id": "7"}, monotonic())
    assert shown(app.run()) == ["Edit 7"]


def test_the_same_page_about_something_else_is_another_page(app: AppTest) -> None:
    app.button("go").click().run()
    app.session_state["_going"] = ("edit", {"id": "8"}, monotonic())
    assert shown(app.run()) == ["Edit 8"]


def test_what_was_meant_a_while_ago_is_forgotten(app: AppTest) -> None:
    app.session_state["_going"] = ("edit", {"id": "7"}, monotonic() - navigation.STILL_MEANT_SECONDS)
    assert shown(app.run()) == ["Today"]

"""The New and Edit pages without a browser: what is asked for, what is refused, what is written."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import context, doorman, drafts
from dashboard.gate import GateSettings
from dashboard.live import Hub
from db import task_views, tasks
from db.engine import DATABASE_URL, Catalogue
from db.specs import as_document, parse_task
from tests.dashboard.task_documents import example
from tests.doors import doorman_of


def _app() -> None:
    """The two pages of this story, and what the other pages would be."""
    import streamlit as st

    from dashboard import navigation
    from dashboard.app_pages import edit

    def task() -> None:
        navigation.show_notice()
        st.title(f"Task {st.query_params['id']}")

    def task_list() -> None:
        st.title("Tasks")

    pages = [
        st.Page(edit.page, title="Edit", url_path="edit", default=True),
        st.Page(task, title="Task", url_path="task"),
        st.Page(task_list, title="Tasks", url_path="tasks"),
    ]
    st.session_state["_pages"] = {each.url_path or "edit": each for each in pages}
    st.navigation(pages).run()


@pytest.fixture
def shared(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """The catalogue of the test is that of the pages."""
    monkeypatch.setenv(DATABASE_URL, catalogue.url)
    context.catalogue.cache_clear()
    doorman.post(doorman_of(catalogue, Hub(catalogue.url), GateSettings.from_environment("127.0.0.1", 3000, {})))
    yield catalogue
    context.catalogue().close()
    context.catalogue.cache_clear()


def opened(**query: str) -> AppTest:
    app = AppTest.from_function(_app, default_timeout=20)
    app.query_params.update(query)
    return app.run()


def fill(app: AppTest, **fields: Any) -> AppTest:
    for name, value in fields.items():
        app.session_state[f"edit_{name}"] = value
    return app.run()


def save(app: AppTest) -> AppTest:
    return app.button("edit_save").click().run()


def said(app: AppTest) -> str:
    """Everything that the page says in small print and in boxes."""
    return "\n".join(str(each.value) for kind in (app.caption, app.markdown, app.error, app.warning) for each in kind)


def title(app: AppTest) -> str:
    assert not app.exception
    return str(app.title[0].value)


def written(catalogue: Catalogue) -> list[dict[str, Any]]:
    with catalogue.transaction() as session:
        return [as_document(task.spec) for task in task_views.list_tasks(session, now=datetime.now(UTC)).items]


def create(catalogue: Catalogue, document: dict[str, Any]) -> UUID:
    with catalogue.transaction() as session:
        return tasks.create_task(session, parse_task(document), actor="anna", now=datetime.now(UTC))


def edit(catalogue: Catalogue, task_id: UUID, **changes: Any) -> None:
    """Somebody else saves the task."""
    with catalogue.transaction() as session:
        view = task_views.get_task(session, task_id, now=datetime.now(UTC))
        spec = parse_task({**as_document(view.spec), **changes})
        tasks.replace_task(session, task_id, spec, seen_version=view.version, actor="anna", now=datetime.now(UTC))


def test_an_empty_form_is_refused_and_says_what_is_missing(shared: Catalogue) -> None:
    app = save(opened())
    assert title(app) == "New task"
    assert "Not saved yet" in said(app)
    assert "Give the task a name" in said(app)
    assert "Write the command that is to be run" in said(app)
    assert written(shared) == []


def test_what_is_written_is_what_the_form_said_and_the_task_page_follows(shared: Catalogue) -> None:
    fields = {"name": "backup", "command": "pg_dump shop", "env": "A=1", "cron": "0 3 * * *", "timezone": "Asia/Tokyo"}
    app = save(fill(opened(), **fields))
    [document] = written(shared)
    due = {"kind": "cron", "cron": "0 3 * * *", "timezone": "Asia/Tokyo"}
    assert document == example(action={"command": "pg_dump shop", "env": {"A": "1"}}, schedule=due)
    assert title(app).startswith("Task ")
    assert [toast.value for toast in app.toast] == ["Created."]


def test_a_name_that_is_taken_is_said_at_the_name(shared: Catalogue) -> None:
    create(shared, example())
    app = save(fill(opened(), name="backup", command="true"))
    assert "exists" in said(app)
    assert len(written(shared)) == 1
    app = save(fill(app, name="another"))
    assert {document["name"] for document in written(shared)} == {"another", "backup"}
    assert title(app).startswith("Task ")


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("61 * * * *", "Not a valid cron expression"),
        ("0 0 31 2 *", "never fires"),
        ("* * *", "has five fields"),
        ("", "Write when it is due"),
    ],
)
def test_a_cron_expression_is_checked_before_anything_is_saved(shared: Catalogue, cron: str, message: str) -> None:
    app = fill(opened(), cron=cron)
    assert message in "\n".join(error.value.replace("\\", "") for error in app.error)
    assert written(shared) == []


def test_a_schedule_is_told_in_words_with_what_may_surprise(shared: Catalogue) -> None:
    app = fill(opened(), cron="30 2 * * *", timezone="Europe/Berlin")
    words = said(app).replace("\\", "")
    assert "Every day at 02:30, Europe/Berlin" in words
    assert "comes twice, it runs on the first pass only" in words
    assert written(shared) == []


def test_an_example_fills_the_cron_expression(shared: Catalogue) -> None:
    app = opened()
    app.button_group("edit_example").select("Weekdays 08:30").run()
    assert app.text_input("edit_cron").value == "30 8 * * 1-5"
    assert written(shared) == []


def test_once_in_the_past_is_refused_unless_it_is_to_run_at_once(shared: Catalogue) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    once = {"schedule_kind": "once", "once_date": yesterday, "once_time": "10:00"}
    app = save(fill(opened(), name="late", command="true", **once))
    assert "This moment has passed" in said(app)
    assert written(shared) == []
    save(fill(app, run_if_past=True))
    assert [document["schedule"]["run_if_past"] for document in written(shared)] == [True]


def test_once_before_the_ledger_began_is_refused_with_a_word(shared: Catalogue) -> None:
    long_ago = {"schedule_kind": "once", "once_date": date(2020, 1, 1), "once_time": "10:00", "run_if_past": True}
    app = save(fill(opened(), name="late", command="true", **long_ago))
    assert "too long ago" in said(app)
    assert written(shared) == []


def test_a_once_that_is_over_can_still_be_renamed(shared: Catalogue) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    task = create(shared, example(schedule={"kind": "once", "at": yesterday, "run_if_past": True}))
    save(fill(opened(id=str(task)), name="renamed"))
    assert [document["name"] for document in written(shared)] == ["renamed"]


def test_another_kind_keeps_the_common_fields_and_what_was_in_the_old_ones(shared: Catalogue) -> None:
    app = fill(opened(), name="call", command="echo kept", description="common")
    app = fill(app, kind="http")
    assert app.text_input("edit_name").value == "call"
    app = fill(fill(app, url="https://example.org/"), kind="shell")
    assert app.text_area("edit_command").value == "echo kept"
    save(fill(app, kind="http"))
    [document] = written(shared)
    assert (document["name"], document["description"]) == ("call", "common")
    assert document["action"]["url"] == "https://example.org/"


def test_a_flow_is_edited_without_losing_what_the_form_does_not_show(shared: Catalogue) -> None:
    flow = example("flow", paused=True, action={"entrypoint": "flows/a.py:main", "parameters": {"day": [1, None]}})
    task = create(shared, flow)
    save(fill(opened(id=str(task)), description="mine"))
    assert written(shared) == [{**flow, "description": "mine"}]


def test_a_copy_has_another_name_and_is_a_task_of_its_own(shared: Catalogue) -> None:
    task = create(shared, example(tags=["ops"]))
    app = opened(copy=str(task))
    assert title(app) == "New task"
    save(app)
    assert written(shared) == [example(tags=["ops"]), example(tags=["ops"], name="backup (copy)")]


def test_a_template_can_be_saved_once_it_has_a_name(shared: Catalogue) -> None:
    for template in ("shell", "http", "python"):
        save(fill(opened(template=template), name=template))
    assert {document["kind"] for document in written(shared)} == {"shell", "http", "python"}


def test_saving_again_what_has_been_created_makes_no_second_task(shared: Catalogue) -> None:
    app = fill(opened(), name="backup", command="true")
    draft = app.session_state["_draft"]
    save(app)
    first, draft.saved = draft.saved, None
    drafts.save(draft)
    assert (draft.saved, draft.problems()) == (first, {})
    assert len(written(shared)) == 1


@pytest.mark.parametrize("task_id", ["", "x", str(UUID(int=0))])
def test_a_task_that_does_not_exist_is_said_to_be_gone(shared: Catalogue, task_id: str) -> None:
    assert title(opened(id=task_id)) == "There is no such task"
    assert written(shared) == []


def test_edits_of_different_fields_by_two_are_both_saved(shared: Catalogue) -> None:
    task = create(shared, example())
    app = fill(opened(id=str(task)), description="mine")
    edit(shared, task, retries=5)
    app = save(app)
    assert "Somebody else saved this task" in str(app.subheader[0].value)
    assert written(shared) == [example(retries=5)]
    app = save(app)
    assert title(app) == f"Task {task}"
    assert written(shared) == [example(retries=5, description="mine")]


def test_where_both_changed_a_field_the_choice_counts(shared: Catalogue) -> None:
    task = create(shared, example())
    app = fill(opened(id=str(task)), description="mine", retries=1)
    edit(shared, task, description="theirs")
    app = save(app)
    assert "Both changed it" in said(app)
    app.session_state["choice_description"] = "theirs"
    save(app.run())
    assert written(shared) == [example(description="theirs", retries=1)]


def test_a_third_edit_during_the_choice_is_not_lost_either(shared: Catalogue) -> None:
    task = create(shared, example())
    app = fill(opened(id=str(task)), description="mine")
    edit(shared, task, retries=5)
    app = save(app)
    edit(shared, task, tags=["third"])
    app = save(app)
    assert title(app) == "Edit task"
    save(app)
    assert written(shared) == [example(retries=5, description="mine", tags=["third"])]


def test_discarding_shows_what_is_saved_now(shared: Catalogue) -> None:
    task = create(shared, example())
    app = fill(opened(id=str(task)), description="mine")
    edit(shared, task, description="theirs")
    app = save(app)
    app = app.button("edit_discard").click().run()
    assert app.text_area("edit_description").value == "theirs"
    save(fill(app, retries=2))
    assert written(shared) == [example(description="theirs", retries=2)]


def test_a_merge_that_is_not_valid_comes_back_as_a_form_with_its_mistake(shared: Catalogue) -> None:
    task = create(shared, example(starts_at="2027-01-01T00:00:00Z", ends_at="2027-02-01T00:00:00Z"))
    app = fill(opened(id=str(task)), starts_at="2027-01-20 00:00")
    edit(shared, task, ends_at="2027-01-10T00:00:00Z")
    app = save(save(app))
    assert title(app) == "Edit task"
    assert "must be later than" in said(app).replace("\\", "")
    assert written(shared)[0]["starts_at"] == "2027-01-01T00:00:00Z"


def test_a_task_in_the_trash_cannot_be_saved_and_the_form_stays(shared: Catalogue) -> None:
    task = create(shared, example())
    app = fill(opened(id=str(task)), description="typed for an hour")
    with shared.transaction() as session:
        tasks.delete_task(session, task, actor="anna", now=datetime.now(UTC))
    app = save(app)
    assert "is in the trash" in said(app)
    assert app.text_area("edit_description").value == "typed for an hour"


def test_an_unexpected_error_has_a_reference_that_is_in_the_log(
    shared: Catalogue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("the secret cause")

    monkeypatch.setattr(tasks, "create_task", broken)
    app = save(fill(opened(), name="backup", command="true"))
    [reference] = [word.strip(".\\]") for word in said(app).split("under ")[1].split()[:1]]
    assert reference in caplog.text
    assert "the secret cause" not in said(app)
    assert app.text_input("edit_name").value == "backup"
    assert written(shared) == []

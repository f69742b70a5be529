"""Tasks as they are shown: pages in order of name, narrowed by what people type and choose."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from db import runs, sync, task_views, tasks
from db.errors import BadCursor
from db.pages import encode_cursor
from db.runs import Ending
from db.states import Kind, RunState
from db.task_views import TaskFilter, TaskOrder
from tests.db.conftest import NOW, a_claimed_run, a_run, create, edit, minutes, run_of, view


def names(session: Session, **narrowed: Any) -> list[str]:
    found = [task.spec.name for task in task_views.list_tasks(session, now=NOW, **narrowed).items]
    counted = {key: value for key, value in narrowed.items() if key not in ("limit", "cursor")}
    assert task_views.count_tasks(session, **counted) == len(found)
    return found


def all_pages(session: Session, *, limit: int, order: TaskOrder = TaskOrder.NAME) -> Iterable[UUID]:
    cursor: str | None = None
    while True:
        page = task_views.list_tasks(session, order=order, limit=limit, cursor=cursor, now=NOW)
        yield from (task.id for task in page.items)
        if (cursor := page.next_cursor) is None:
            return


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 500])
def test_pages_of_any_size_hold_every_task_once_in_order_of_name(session: Session, limit: int) -> None:
    made = {name: create(session, name=name) for name in ["delta", "Ärger", "alpha 10", "alpha 9", "O'Brien %_"]}
    found = list(all_pages(session, limit=limit))
    assert sorted(found) == sorted(made.values())
    assert found == list(all_pages(session, limit=500))


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_the_newest_runs_come_first_and_those_that_never_ran_last(session: Session, limit: int) -> None:
    made = {name: create(session, name=name) for name in ("a", "b", "c", "d", "e")}
    for name, ago in (("b", 30), ("d", 10), ("a", 20)):
        a_run(session, made[name], NOW - minutes(ago), state=RunState.COMPLETED, ended_at=NOW)
    found = list(all_pages(session, limit=limit, order=TaskOrder.LAST_RUN))
    assert found == [made["d"], made["a"], made["b"], *sorted((made["c"], made["e"]), reverse=True)]


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_the_newest_changes_come_first(session: Session, limit: int) -> None:
    made = {name: create(session, name=name) for name in ("a", "b", "c")}
    for number, name in enumerate(("b", "a", "c")):
        tasks.pause_task(session, made[name], actor="anna", now=NOW + minutes(number))
    assert list(all_pages(session, limit=limit, order=TaskOrder.CHANGE)) == [made["c"], made["a"], made["b"]]


def test_tags_follow_edits_and_the_trash(session: Session) -> None:
    task_id = create(session, name="a", tags=["ops", "db"])
    edit(session, task_id, tags=["db", "night"])
    assert task_views.list_tags(session) == ["db", "night"]
    tasks.delete_task(session, task_id, actor="anna", now=NOW)
    assert task_views.list_tags(session) == []
    tasks.restore_task(session, task_id, actor="anna", now=NOW)
    assert task_views.list_tags(session) == ["db", "night"]


def test_the_search_takes_what_is_typed_literally_and_ignores_case(session: Session) -> None:
    for name in ("Nightly backup", "100% sure", "a_b", "aXb", "back\\slash"):
        create(session, name=name)
    assert names(session, search="BACKUP") == ["Nightly backup"]
    assert names(session, search="  night ") == ["Nightly backup"]
    assert names(session, search="%") == ["100% sure"]
    assert names(session, search="_") == ["a_b"]
    assert names(session, search="\\") == ["back\\slash"]
    assert names(session, search="a\0_b") == ["a_b"]
    assert names(session, search="'; DROP TABLE tasks") == []
    assert len(names(session, search="   ")) == 5


def test_tasks_are_found_by_tag_and_kind_and_all_together(session: Session) -> None:
    only_db = create(session, name="a", tags=["ops", "db"])
    create(session, name="b", tags=["ops"], kind="http", action={"url": "https://x.example"})
    create(session, name="c", tags=["OPS"])
    assert names(session, tag="ops") == ["a", "b"]
    assert names(session, tag="op") == []
    assert names(session, kind=Kind.HTTP) == ["b"]
    assert names(session, kind=Kind.SHELL, tag="ops", search="a", state=TaskFilter.ACTIVE) == ["a"]
    assert sorted(task_views.list_tags(session)) == ["OPS", "db", "ops"]
    tasks.delete_task(session, only_db, actor="anna", now=NOW)
    assert sorted(task_views.list_tags(session)) == ["OPS", "ops"]


def test_each_state_shows_its_tasks(session: Session) -> None:
    made = {name: create(session, name=name) for name in ("active", "paused", "deleted", "refused")}
    tasks.pause_task(session, made["paused"], actor="anna", now=NOW)
    tasks.delete_task(session, made["deleted"], actor="anna", now=NOW)
    sync.record_error(session, made["refused"], "No such pool.")
    a_claimed_run(session, name="running")
    for state in (RunState.FAILED, RunState.CRASHED, RunState.TIMED_OUT, RunState.COMPLETED):
        task_id = create(session, name=state)
        a_run(session, task_id, NOW, state=state, ended_at=NOW)
    live = ["active", "completed", "crashed", "failed", "paused", "refused", "running", "timed_out"]
    assert names(session) == live
    assert names(session, state=TaskFilter.DELETED) == ["deleted"]
    assert names(session, state=TaskFilter.PAUSED) == ["paused"]
    assert names(session, state=TaskFilter.ACTIVE) == [name for name in live if name != "paused"]
    assert names(session, state=TaskFilter.RUNNING) == ["running"]
    assert names(session, state=TaskFilter.FAILED) == ["crashed", "failed", "refused", "timed_out"]


def test_a_task_is_shown_with_its_newest_run(session: Session) -> None:
    key, worker_id = a_claimed_run(session)
    task_id = run_of(session, key).task_id
    runs.finish(session, key, Ending(RunState.FAILED, NOW + minutes(2), exit_code=1), worker_id=worker_id)
    for shown in (view(session, task_id), task_views.list_tasks(session, now=NOW).items[0]):
        assert shown.last_run is not None
        assert (shown.last_run.id, shown.last_run.state, shown.last_run.exit_code) == (key.id, "failed", 1)
        assert shown.deployed


def test_what_is_not_due_any_more_has_no_next_due_time(session: Session) -> None:
    task_id = create(session, ends_at=(NOW + minutes(2)).isoformat())
    assert view(session, task_id, now=NOW + minutes(1)).next_due_at == NOW + minutes(2)
    assert view(session, task_id, now=NOW + minutes(2)).next_due_at is None
    tasks.delete_task(session, task_id, actor="anna", now=NOW)
    assert view(session, task_id).next_due_at is None


@pytest.mark.parametrize(
    "cursor", ["", "x", encode_cursor("a"), encode_cursor("a", "no id"), encode_cursor("a\0", "x")]
)
def test_a_cursor_that_nobody_made_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(BadCursor):
        task_views.list_tasks(session, cursor=cursor, now=NOW)


@pytest.mark.parametrize("order", [TaskOrder.LAST_RUN, TaskOrder.CHANGE])
def test_a_cursor_of_another_order_is_refused(session: Session, order: TaskOrder) -> None:
    with pytest.raises(BadCursor):
        task_views.list_tasks(session, order=order, cursor=encode_cursor("a name", str(uuid4())), now=NOW)


@pytest.mark.parametrize(("at_most", "told"), [(None, 3), (5, 3), (3, 3), (2, 3), (1, 2), (0, 1)])
def test_no_more_is_counted_than_is_wanted_and_one_more_stands_for_more(
    session: Session, at_most: int | None, told: int
) -> None:
    for name in ("a", "b", "c"):
        create(session, name=name)
    assert task_views.count_tasks(session, at_most=at_most) == told

"""Pages of runs: newest first, complete, without repeats, also where many runs are due at the same instant."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from db import runs
from db.errors import BadCursor
from db.pages import encode_cursor
from db.partitions import first_of_month
from db.states import RunState
from db.tables import Run
from tests.db.conftest import NOW, a_run, create, minutes, seconds


def all_pages(session: Session, *, limit: int, **narrowed: Any) -> list[Run]:
    found: list[Run] = []
    cursor: str | None = None
    while True:
        page = runs.list_runs(session, limit=limit, cursor=cursor, **narrowed)
        assert 0 < len(page.items) <= limit
        found += page.items
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def some_runs(session: Session) -> UUID:
    """Twelve, of which four at a time are due at the same instant, over the turn of a month."""
    task_id, turn = create(session), first_of_month(NOW)
    for number in range(12):
        state = RunState.FAILED if number % 3 == 0 else RunState.COMPLETED
        due_at = turn + minutes(number // 4) - minutes(1)
        a_run(session, task_id, due_at, state=state, ended_at=NOW)
    a_run(session, create(session, name="other"), NOW)
    return task_id


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 12, 13, 500])
def test_pages_of_any_size_hold_every_run_once_newest_first(session: Session, limit: int) -> None:
    some_runs(session)
    found = all_pages(session, limit=limit)
    assert len({run.id for run in found}) == 13
    keys = [(run.due_at, run.id) for run in found]
    assert keys == sorted(keys, reverse=True)


def test_pages_are_narrowed_by_task_state_and_time(session: Session) -> None:
    task_id, turn = some_runs(session), first_of_month(NOW)
    assert len(all_pages(session, limit=5, task_id=task_id)) == 12
    assert len(all_pages(session, limit=3, state=RunState.FAILED)) == 4
    assert len(all_pages(session, limit=3, task_id=task_id, state=RunState.COMPLETED)) == 8
    within = all_pages(session, limit=3, from_at=turn, to_at=turn + minutes(1))
    assert [run.due_at for run in within] == [turn] * 4
    assert runs.list_runs(session, task_id=uuid4()).items == []


def test_a_run_that_comes_meanwhile_neither_repeats_nor_hides_another(session: Session) -> None:
    task_id = create(session)
    for minute in range(6):
        a_run(session, task_id, NOW + minutes(minute))
    first = runs.list_runs(session, limit=3)
    a_run(session, task_id, NOW + minutes(60))
    second = runs.list_runs(session, limit=3, cursor=first.next_cursor)
    assert [(run.due_at - NOW) / minutes(1) for run in [*first.items, *second.items]] == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "e30",
        encode_cursor("2026-01-01"),
        encode_cursor("now", str(UUID(int=1))),
        encode_cursor("2026-01-01", "x"),
    ],
)
def test_a_cursor_that_nobody_made_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(BadCursor):
        runs.list_runs(session, cursor=cursor)


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2026-01-01"])
def test_a_cursor_far_away_is_a_page_like_any_other(session: Session, instant: str) -> None:
    runs.list_runs(session, cursor=encode_cursor(instant, str(UUID(int=1))))


def test_lateness_is_start_minus_due(session: Session) -> None:
    task_id = create(session)
    late = a_run(session, task_id, NOW, started_at=NOW + seconds(1.5))
    early = a_run(session, task_id, NOW, started_at=NOW - timedelta(milliseconds=500))
    waiting = a_run(session, task_id, NOW)
    assert [runs.get_run(session, key.id).lateness_seconds for key in (late, early, waiting)] == [1.5, -0.5, None]

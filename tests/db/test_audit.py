"""Who did what, as it is read."""

import pytest
from sqlalchemy.orm import Session

from db import audit, tasks
from db.errors import BadCursor
from tests.db.conftest import NOW, create


def test_entries_come_newest_first_page_by_page(session: Session) -> None:
    for name in "abc":
        create(session, name=name)
    first = audit.entries(session, limit=2)
    second = audit.entries(session, limit=2, cursor=first.next_cursor)
    assert [entry.task_name for entry in (*first.items, *second.items)] == ["c", "b", "a"]
    assert second.next_cursor is None


def test_entries_are_narrowed_by_actor_change_and_task(session: Session) -> None:
    kept, deleted = create(session, name="kept"), create(session, name="deleted")
    tasks.delete_task(session, deleted, actor="ben", now=NOW)
    assert [entry.change for entry in audit.entries(session, actor="be").items] == ["task.deleted"]
    assert len(audit.entries(session, change="task.cr").items) == 2
    assert {entry.task_name for entry in audit.entries(session, task_id=kept).items} == {"kept"}
    assert audit.entries(session, actor="%").items == []


@pytest.mark.parametrize("cursor", ["x", "WyItMSJd", "WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTkiXQ"])
def test_a_cursor_that_is_none_of_ours_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(BadCursor):
        audit.entries(session, cursor=cursor)

"""The commands that change tasks: versions, revisions, audit and due times go with every change."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import revisions, sync, tasks
from db.engine import Catalogue
from db.errors import StaleVersion, TaskIsDeleted, TaskIsNotDeleted, TaskNameTaken, TaskNotFound
from db.specs import InvalidTask
from db.states import Outcome, Reason
from db.tables import AuditEntry, Task
from tests.db.conftest import (
    DAILY,
    MANUAL,
    NOW,
    a_task,
    create,
    edit,
    ledger,
    minutes,
    once,
    outcomes,
    pending,
    seconds,
    status,
    view,
)


def changes(session: Session, task_id: UUID) -> list[tuple[str, str, int | None]]:
    """What the audit says of the task: who did what, and the version that came of it."""
    query = select(AuditEntry).where(AuditEntry.task_id == task_id).order_by(AuditEntry.id)
    return [(entry.actor, entry.change, entry.version) for entry in session.scalars(query)]


def versions(session: Session, task_id: UUID) -> list[tuple[int, str]]:
    return [(row.version, row.change) for row in revisions.list_revisions(session, task_id)]


def test_a_new_task_is_at_version_one_with_its_revision_and_its_audit(session: Session) -> None:
    task_id = create(session)
    task = view(session, task_id)
    assert (task.version, task.spec, task.created_at, task.updated_at) == (1, a_task(), NOW, NOW)
    assert not task.deployed
    assert task.next_due_at == NOW + minutes(1)
    assert versions(session, task_id) == [(1, "created")]
    assert changes(session, task_id) == [("anna", "task.created", 1)]


def test_every_change_counts_the_version_and_is_kept_with_its_author(session: Session) -> None:
    task_id = create(session)
    edit(session, task_id, description="two")
    tasks.pause_task(session, task_id, reason="upgrade", actor="cleo", now=NOW)
    tasks.resume_task(session, task_id, actor="dora", now=NOW)
    tasks.delete_task(session, task_id, actor="emil", now=NOW)
    tasks.restore_task(session, task_id, actor="fred", now=NOW)
    assert versions(session, task_id) == [
        (6, "restored"),
        (5, "deleted"),
        (4, "resumed"),
        (3, "paused"),
        (2, "edited"),
        (1, "created"),
    ]
    assert changes(session, task_id) == [
        ("anna", "task.created", 1),
        ("ben", "task.edited", 2),
        ("cleo", "task.paused", 3),
        ("dora", "task.resumed", 4),
        ("emil", "task.deleted", 5),
        ("fred", "task.restored", 6),
    ]
    kept = {row.version: row.spec for row in revisions.list_revisions(session, task_id)}
    assert (kept[1]["description"], kept[2]["description"]) == ("", "two")
    assert [kept[version]["paused"] for version in sorted(kept)] == [False, False, True, False, False, False]


def test_each_change_makes_the_task_one_that_prefect_has_not_seen(session: Session) -> None:
    task_id = create(session)
    commands: list[Callable[[], None]] = [
        lambda: edit(session, task_id, description="two"),
        lambda: tasks.pause_task(session, task_id, actor="anna", now=NOW),
        lambda: tasks.resume_task(session, task_id, actor="anna", now=NOW),
        lambda: tasks.delete_task(session, task_id, actor="anna", now=NOW),
        lambda: tasks.restore_task(session, task_id, actor="anna", now=NOW),
    ]
    for change in commands:
        seen = view(session, task_id).version
        sync.record_synced(session, task_id, version=seen, deployment_id=None, applied=None)
        assert sync.unsynced(session) == []
        change()
        assert [desired.version for desired in sync.unsynced(session)] == [seen + 1]


def test_an_edit_of_a_version_that_is_not_the_current_one_is_refused_and_changes_nothing(session: Session) -> None:
    task_id = create(session)
    edit(session, task_id, description="theirs")
    for seen in (1, 3, 0, -1):
        with pytest.raises(StaleVersion) as stale:
            tasks.replace_task(session, task_id, a_task(description="mine"), seen_version=seen, actor="x", now=NOW)
        assert (stale.value.seen, stale.value.current_version) == (seen, 2)
    assert view(session, task_id).spec.description == "theirs"
    assert len(versions(session, task_id)) == 2


def test_what_this_session_read_earlier_does_not_hide_a_change_that_was_committed_meanwhile(
    catalogue: Catalogue,
) -> None:
    with catalogue.transaction() as session:
        task_id = create(session)
    with catalogue.transaction() as mine:
        held = mine.get_one(Task, task_id)
        with catalogue.transaction() as theirs:
            edit(theirs, task_id, description="theirs")
        assert held.version == 1
        with pytest.raises(StaleVersion):
            tasks.replace_task(mine, task_id, a_task(description="mine"), seen_version=1, actor="x", now=NOW)


def test_a_name_belongs_to_one_task_until_that_is_in_the_trash(session: Session) -> None:
    first = create(session, name="backup")
    other = create(session, name="other")
    for take in (lambda: create(session, name=" backup "), lambda: edit(session, other, name="backup")):
        with pytest.raises(TaskNameTaken, match="'backup' exists"), session.begin_nested():
            take()
    assert tasks.task_by_name(session, "backup") == first
    tasks.delete_task(session, first, actor="anna", now=NOW)
    assert tasks.task_by_name(session, "backup") is None
    second = create(session, name="backup")
    assert tasks.task_by_name(session, "backup") == second
    with pytest.raises(TaskNameTaken), session.begin_nested():
        tasks.restore_task(session, first, actor="anna", now=NOW)
    edit(session, second, name="renamed")
    tasks.restore_task(session, first, actor="anna", now=NOW)
    assert tasks.task_by_name(session, "backup") == first


def test_names_that_differ_in_case_are_different(session: Session) -> None:
    assert create(session, name="backup") != create(session, name="Backup")


def test_a_task_in_the_trash_cannot_be_changed_and_one_outside_cannot_be_restored(session: Session) -> None:
    task_id = create(session)
    with pytest.raises(TaskIsNotDeleted):
        tasks.restore_task(session, task_id, actor="anna", now=NOW)
    tasks.delete_task(session, task_id, actor="anna", now=NOW)
    commands: list[Callable[[], None]] = [
        lambda: tasks.replace_task(session, task_id, a_task(), seen_version=2, actor="anna", now=NOW),
        lambda: tasks.pause_task(session, task_id, actor="anna", now=NOW),
        lambda: tasks.resume_task(session, task_id, actor="anna", now=NOW),
        lambda: tasks.delete_task(session, task_id, actor="anna", now=NOW),
    ]
    for command in commands:
        with pytest.raises(TaskIsDeleted):
            command()
    assert view(session, task_id).version == 2


def test_an_unknown_task_is_not_found_by_any_command(session: Session) -> None:
    nobody = uuid4()
    commands: list[Callable[[], object]] = [
        lambda: tasks.replace_task(session, nobody, a_task(), seen_version=1, actor="anna", now=NOW),
        lambda: tasks.pause_task(session, nobody, actor="anna", now=NOW),
        lambda: tasks.resume_task(session, nobody, actor="anna", now=NOW),
        lambda: tasks.delete_task(session, nobody, actor="anna", now=NOW),
        lambda: tasks.restore_task(session, nobody, actor="anna", now=NOW),
        lambda: tasks.lock_version(session, nobody),
        lambda: view(session, nobody),
    ]
    for command in commands:
        with pytest.raises(TaskNotFound, match=str(nobody)):
            command()


def test_a_pause_has_a_reason_and_an_end_until_it_is_over(session: Session) -> None:
    task_id = create(session)
    tasks.pause_task(session, task_id, reason="upgrade", until=NOW + minutes(5), actor="anna", now=NOW)
    paused = view(session, task_id)
    assert (paused.spec.paused, paused.pause_reason, paused.paused_until) == (True, "upgrade", NOW + minutes(5))
    assert paused.next_due_at is None
    tasks.pause_task(session, task_id, actor="anna", now=NOW)
    assert (view(session, task_id).pause_reason, view(session, task_id).paused_until) == (None, None)
    tasks.pause_task(session, task_id, reason="again", actor="anna", now=NOW)
    edit(session, task_id, description="an edit leaves the pause as it is")
    assert view(session, task_id).pause_reason == "again"
    edit(session, task_id, paused=False)
    assert (view(session, task_id).spec.paused, view(session, task_id).pause_reason) == (False, None)


def test_resuming_what_is_not_paused_changes_nothing(session: Session) -> None:
    task_id = create(session)
    tasks.resume_task(session, task_id, actor="anna", now=NOW)
    assert versions(session, task_id) == [(1, "created")]


def test_pauses_that_are_over_are_found(session: Session) -> None:
    over, later, open_ended, deleted = (create(session, name=name) for name in "abcd")
    for task_id, until in ((over, NOW), (later, NOW + seconds(1)), (open_ended, None), (deleted, NOW)):
        tasks.pause_task(session, task_id, until=until, actor="anna", now=NOW)
    tasks.delete_task(session, deleted, actor="anna", now=NOW)
    assert list(tasks.due_to_resume(session, now=NOW)) == [over]


def test_a_task_that_would_never_run_is_not_made(session: Session) -> None:
    for never in ({"schedule": once(NOW)}, {"ends_at": NOW.isoformat()}):
        with pytest.raises(InvalidTask):
            create(session, **never)
    assert tasks.task_by_name(session, "backup") is None


def test_a_once_that_has_run_can_still_be_edited_but_not_moved_into_the_past(session: Session) -> None:
    task_id = create(session, schedule=once(NOW + seconds(10)))
    later = NOW + minutes(1)
    edit(session, task_id, description="it has passed", now=later)
    with pytest.raises(InvalidTask):
        edit(session, task_id, schedule=once(NOW + seconds(20)), now=later)
    edit(session, task_id, schedule=once(NOW + minutes(2)), now=later)
    assert pending(session, task_id) == [NOW + seconds(10), NOW + minutes(2)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (once(NOW + minutes(3)), [NOW + minutes(3)]),
        (once(NOW - minutes(3), run_if_past=True), [NOW - minutes(3)]),
        (MANUAL, []),
        (DAILY, [NOW + minutes(60), NOW + minutes(60 + 24 * 60), NOW + minutes(60 + 48 * 60)]),
    ],
)
def test_the_first_due_times_are_written_with_the_task(
    session: Session, schedule: dict[str, Any], expected: list[Any]
) -> None:
    task_id = create(session, schedule=schedule)
    assert pending(session, task_id) == expected
    assert all(row.task_version == 1 for row in ledger(session, task_id))


def test_a_changed_schedule_rewrites_what_was_not_due_yet(session: Session) -> None:
    task_id = create(session)
    later = NOW + minutes(2) + seconds(30)
    edit(session, task_id, schedule={"kind": "cron", "cron": "*/5 * * * *"}, now=later)
    assert pending(session, task_id)[:4] == [NOW + minutes(m) for m in (1, 2, 5, 10)]
    assert [row.task_version for row in ledger(session, task_id)][:3] == [1, 1, 2]


def test_an_edit_that_leaves_the_schedule_alone_leaves_the_ledger_alone(session: Session) -> None:
    task_id = create(session)
    before = pending(session, task_id)
    edit(session, task_id, description="new")
    assert pending(session, task_id) == before
    assert {row.task_version for row in ledger(session, task_id)} == {1}


def test_starts_and_ends_are_part_of_the_schedule(session: Session) -> None:
    task_id = create(session)
    starts, ends = NOW + minutes(4), NOW + minutes(5)
    edit(session, task_id, starts_at=starts.isoformat(), ends_at=ends.isoformat())
    assert pending(session, task_id) == [starts, ends]


def test_a_deleted_task_has_nothing_pending_and_a_restored_one_is_due_from_now_on(session: Session) -> None:
    task_id = create(session)
    deleted, restored = NOW + minutes(1), NOW + minutes(3)
    tasks.delete_task(session, task_id, actor="anna", now=deleted)
    assert outcomes(session, task_id) == [(Outcome.CANCELLED, Reason.DELETED)]
    tasks.restore_task(session, task_id, actor="anna", now=restored)
    assert pending(session, task_id)[0] == NOW + minutes(4)
    assert status(session, task_id).wanted_version == 3


def test_restoring_a_once_that_has_passed_does_not_run_it(session: Session) -> None:
    task_id = create(session, schedule=once(NOW + minutes(1)))
    tasks.delete_task(session, task_id, actor="anna", now=NOW)
    tasks.restore_task(session, task_id, actor="anna", now=NOW + minutes(2))
    assert ledger(session, task_id) == []

"""What the reconciler knows of each task in Prefect."""

from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from db import sync, tasks
from tests.db.conftest import NOW, create, edit, minutes, view


def unsynced(session: Session) -> list[UUID]:
    return [desired.task_id for desired in sync.unsynced(session)]


def record(session: Session, task_id: UUID, version: int, deployment_id: UUID | None = None) -> None:
    sync.record_synced(session, task_id, version=version, deployment_id=deployment_id, applied={"a": 1})


def test_those_that_wait_longest_are_told_first(session: Session) -> None:
    late, early = create(session, name="late"), create(session, name="early", now=NOW - minutes(1))
    assert unsynced(session) == [early, late]
    assert [desired.task_id for desired in sync.unsynced(session, limit=1)] == [early]


def test_edits_and_new_tasks_take_turns_and_what_was_deleted_has_the_rest(session: Session) -> None:
    new = [create(session, name=f"new {n}", now=NOW - minutes(9 - n)) for n in range(3)]
    edited = [create(session, name=f"edited {n}") for n in range(3)]
    deleted = [create(session, name=f"deleted {n}") for n in range(20)]
    for task_id in edited + deleted:
        record(session, task_id, 1, uuid4())
    for n, task_id in enumerate(edited):
        edit(session, task_id, description="changed", now=NOW + minutes(n))
    for task_id in deleted:
        tasks.delete_task(session, task_id, actor="anna", now=NOW + minutes(5))
    newest_edit_first = [edited[2], new[0], edited[1], new[1], edited[0], new[2]]
    assert unsynced(session)[:6] == newest_edit_first
    assert set(unsynced(session)[6:]) == set(deleted)


def test_many_new_tasks_do_not_keep_what_was_deleted_for_ever(session: Session) -> None:
    gone = create(session, name="gone")
    record(session, gone, 1, uuid4())
    tasks.delete_task(session, gone, actor="anna", now=NOW)
    for n in range(15):
        create(session, name=f"new {n}")
    assert unsynced(session).index(gone) == 10


def test_a_version_that_was_made_while_the_old_one_was_told_stays_to_be_told(session: Session) -> None:
    task_id = create(session)
    edit(session, task_id, description="made meanwhile")
    record(session, task_id, 1)
    assert unsynced(session) == [task_id]
    assert not view(session, task_id).deployed
    record(session, task_id, 2)
    assert unsynced(session) == []
    assert view(session, task_id).deployed


def test_an_error_is_news_once_and_gone_with_the_next_success(session: Session) -> None:
    task_id = create(session)
    assert sync.record_error(session, task_id, "No such pool.")
    assert not sync.record_error(session, task_id, "No such pool.")
    assert sync.record_error(session, task_id, "Another error.")
    assert view(session, task_id).sync_error == "Another error."
    record(session, task_id, 1)
    assert view(session, task_id).sync_error is None


def test_everything_is_what_is_live_or_still_to_be_taken_out_of_prefect(session: Session) -> None:
    live, gone, still_there = (create(session, name=name) for name in ("live", "gone", "still there"))
    deployment = uuid4()
    record(session, still_there, 1, deployment)
    for task_id in (gone, still_there):
        tasks.delete_task(session, task_id, actor="anna", now=NOW)
    assert set(sync.not_among(session, set())) == {live, still_there}
    assert sync.not_among(session, {deployment}) == [live]
    found = {desired.task_id: desired for desired in sync.some(session, [live, still_there])}
    assert (found[still_there].deleted, found[still_there].deployment_id) == (True, deployment)
    assert not found[live].deleted
    assert (found[still_there].version, found[still_there].synced_version) == (2, 1)


def test_tasks_are_found_by_their_id_or_their_deployments(session: Session) -> None:
    task_id, deployment = create(session), uuid4()
    record(session, task_id, 1, deployment)
    [found] = sync.some(session, [task_id, uuid4()])
    assert (found.task_id, found.applied) == (task_id, {"a": 1})
    assert sync.of_deployments(session, [deployment, uuid4()]) == {deployment: found}


def test_when_prefect_has_lost_its_database_everything_is_to_be_made_anew(session: Session) -> None:
    deployed, other = create(session, name="deployed"), create(session, name="other")
    record(session, deployed, 1, uuid4())
    assert unsynced(session) == [other]
    assert sync.forget_deployments(session) == 1
    assert set(unsynced(session)) == {deployed, other}
    assert sync.forget_deployments(session) == 0
    [found] = sync.some(session, [deployed])
    assert (found.deployment_id, found.synced_version, found.applied) == (None, None, None)

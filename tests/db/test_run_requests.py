"""Runs that somebody asks for: from the request to the run, and what becomes of both when it is cancelled."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import run_requests, runs, tasks
from db.errors import RunIsOver, RunNotFound, TaskIsDeleted, TaskNotFound
from db.run_requests import OpenRequest
from db.states import RunState, Trigger
from db.tables import AuditEntry
from tests.db.conftest import NOW, create, deployed, minutes, seconds, status


def ask(session: Session, task_id: UUID, *, after: float = 0) -> UUID:
    request_id = run_requests.request_run(session, task_id, actor="anna", now=NOW + seconds(after))
    session.flush()
    return request_id


def the_open_one(session: Session) -> OpenRequest:
    [request] = run_requests.open_requests(session, now=NOW + minutes(1))
    return request


def test_a_request_is_open_until_its_run_is_made(session: Session) -> None:
    task_id = deployed(session)
    request_id = ask(session, task_id)
    request = the_open_one(session)
    deployment_id = status(session, task_id).deployment_id
    assert request == OpenRequest(request_id, NOW, Trigger.MANUAL, 1, None, task_id, "backup", 1, deployment_id)
    run_id = uuid4()
    run_requests.fulfil(session, request, run_id)
    run_requests.fulfil(session, request, run_id)
    assert run_requests.open_requests(session, now=NOW + minutes(1)) == []
    run = run_requests.resolve(session, request_id)
    assert run.id == run_requests.resolve(session, run_id).id == run_id
    assert (run.trigger, run.state, run.due_at) == (Trigger.MANUAL, RunState.SCHEDULED, NOW)


def test_requests_are_answered_oldest_first_also_of_paused_tasks(session: Session) -> None:
    task_id = create(session)
    tasks.pause_task(session, task_id, actor="anna", now=NOW)
    asked = [ask(session, task_id, after=after) for after in (2, 0, 1)]
    found = [request.id for request in run_requests.open_requests(session, now=NOW + minutes(1))]
    assert found == [asked[1], asked[2], asked[0]]
    assert len(run_requests.open_requests(session, now=NOW + minutes(1), limit=2)) == 2


def test_who_asked_is_in_the_audit(session: Session) -> None:
    task_id = create(session)
    ask(session, task_id)
    query = select(AuditEntry.actor).where(AuditEntry.change == "task.run_requested", AuditEntry.task_id == task_id)
    assert list(session.scalars(query)) == ["anna"]


def test_a_run_is_asked_of_a_task_that_is_there(session: Session) -> None:
    with pytest.raises(TaskNotFound):
        ask(session, uuid4())
    task_id = create(session)
    tasks.delete_task(session, task_id, actor="anna", now=NOW)
    with pytest.raises(TaskIsDeleted):
        ask(session, task_id)


def test_a_request_without_a_run_is_shown_as_the_run_that_it_will_become(session: Session) -> None:
    request_id = ask(session, create(session))
    assert run_requests.run_of(session, request_id) is None
    run = run_requests.resolve(session, request_id)
    assert (run.id, run.state, run.task_name, run.attempt) == (request_id, RunState.SCHEDULED, "backup", 1)
    for find in (run_requests.resolve, run_requests.run_of, run_requests.as_waiting_run):
        with pytest.raises(RunNotFound):
            find(session, uuid4())


def test_a_request_that_is_cancelled_before_its_run_is_made_gets_none(session: Session) -> None:
    request_id = ask(session, create(session))
    assert run_requests.cancel(session, request_id, actor="ada", now=NOW).state == RunState.CANCELLED
    assert run_requests.open_requests(session, now=NOW + minutes(1)) == []
    assert run_requests.resolve(session, request_id).state == RunState.CANCELLED
    with pytest.raises(RunIsOver):
        run_requests.cancel(session, request_id, actor="ada", now=NOW)


def test_a_request_that_is_cancelled_while_its_run_is_being_made_is_cancelled_with_it(session: Session) -> None:
    request_id = ask(session, create(session))
    request = the_open_one(session)
    run_requests.cancel(session, request_id, actor="ada", now=NOW)
    run_id = uuid4()
    run_requests.fulfil(session, request, run_id)
    assert runs.get_run(session, run_id).cancel_requested_at is not None


def test_a_run_that_was_made_is_cancelled_by_its_own_id_or_its_requests(session: Session) -> None:
    task_id = create(session)
    for by_request in (True, False):
        request_id, run_id = ask(session, task_id), uuid4()
        run_requests.fulfil(session, the_open_one(session), run_id)
        named = request_id if by_request else run_id
        assert run_requests.cancel(
            session, named, actor="ada", now=NOW + minutes(1)
        ).cancel_requested_at == NOW + minutes(1)
    with pytest.raises(RunNotFound):
        run_requests.cancel(session, uuid4(), actor="ada", now=NOW)


def test_deleting_a_task_refuses_what_was_asked_of_it(session: Session) -> None:
    task_id = create(session)
    request_id, other = ask(session, task_id), ask(session, create(session, name="other"))
    tasks.delete_task(session, task_id, actor="anna", now=NOW)
    assert the_open_one(session).id == other
    run = run_requests.resolve(session, request_id)
    assert (run.state, run.error) == (RunState.CANCELLED, "Its task was deleted.")

"""What happened is told once, in the order of the commits, and to whoever was away as well."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import claims, events, finishes, tasks
from db.claims import Claimed
from db.engine import Catalogue
from db.errors import EventsForgotten
from db.events import Event, Position
from db.finishes import Finish
from db.runs import Ending
from db.states import Outcome, Reason, RunState
from tests.db.conftest import NOW, a_worker, an_offer, create, deployed, edit, minutes, outcomes, pending
from tests.waiting import wait_until

BEGINNING = Position(0, 0)


def read(catalogue: Catalogue, after: Position = BEGINNING, *, limit: int = 1000) -> Sequence[Event]:
    with catalogue.transaction() as session:
        return events.read(session, after, limit=limit)


def settled(catalogue: Catalogue, count: int, after: Position = BEGINNING) -> list[Event]:
    """So many events, once every transaction of this PostgreSQL server that was there before them has ended."""
    wait_until(lambda: len(read(catalogue, after)) >= count, f"{count} events", seconds=120)
    return list(read(catalogue, after))


def made(catalogue: Catalogue, name: str) -> UUID:
    with catalogue.transaction() as session:
        return create(session, name=name)


def test_what_happens_to_a_task_is_told(catalogue: Catalogue) -> None:
    task_id = made(catalogue, "a")
    changes: list[Callable[[Session], None]] = [
        lambda session: edit(session, task_id, description="more"),
        lambda session: tasks.pause_task(session, task_id, actor="anna", now=NOW),
        lambda session: tasks.delete_task(session, task_id, actor="anna", now=NOW),
        lambda session: tasks.restore_task(session, task_id, actor="anna", now=NOW),
    ]
    for change in changes:
        with catalogue.transaction() as session:
            change(session)
    found = [one for one in settled(catalogue, 5) if one.type.startswith("task.")]
    words = ["created", "updated", "updated", "deleted", "updated"]
    assert [(one.type, one.version) for one in found] == [(f"task.{word}", n) for n, word in enumerate(words, start=1)]
    assert {(one.task_id, one.task_name) for one in found} == {(task_id, "a")}


def test_a_run_is_told_from_its_start_to_its_end(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        task_id = deployed(session)
        worker, due_at = a_worker(session), pending(session, task_id)[0]
        offer = an_offer(session, task_id, due_at)
    with catalogue.transaction() as session:
        answer = claims.claim(session, offer, worker, now=due_at)
        assert isinstance(answer, Claimed)
    with catalogue.transaction() as session:
        ended = Finish(answer.key, task_id, worker.id, Ending(RunState.FAILED, due_at + minutes(1), exit_code=3))
        assert finishes.finish_many(session, [ended], clock=lambda: due_at + minutes(1)) == [True]
    found = settled(catalogue, 5)
    assert found[0].type == "task.created"
    assert {one.type for one in found[1:3]} == {"run.running", "due_time.running"}
    assert {one.type for one in found[3:]} == {"run.failed", "due_time.ran"}
    assert {(one.run_id, one.due_at, one.task_id) for one in found[1:]} == {(offer.run_id, due_at, task_id)}


def test_what_is_planned_is_no_news_and_what_is_skipped_is(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        task_id = create(session)
    with catalogue.transaction() as session:
        tasks.pause_task(session, task_id, actor="anna", now=NOW)
    with catalogue.transaction() as session:
        tasks.resume_task(session, task_id, actor="anna", now=NOW + minutes(3))
    found = [one.type for one in settled(catalogue, 4)]
    assert set(found) == {"task.created", "task.updated", "due_time.skipped"}
    with catalogue.transaction() as session:
        assert found.count("due_time.skipped") == outcomes(session, task_id).count((Outcome.SKIPPED, Reason.PAUSED))


def test_what_was_rolled_back_never_happened(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        create(session, name="never")
        session.rollback()
    made(catalogue, "a")
    assert [one.task_name for one in settled(catalogue, 1)] == ["a"]


def test_nothing_is_told_before_what_an_older_transaction_may_still_write(catalogue: Catalogue) -> None:
    with catalogue.transaction() as slow:
        create(slow, name="slow")
        slow.flush()
        made(catalogue, "quick")
        assert read(catalogue) == []
    assert [one.task_name for one in settled(catalogue, 2)] == ["slow", "quick"]


def test_pages_hold_every_event_once(catalogue: Catalogue) -> None:
    for name in "abcde":
        made(catalogue, name)
    settled(catalogue, 5)
    found, position = [], BEGINNING
    while page := read(catalogue, position, limit=2):
        found += [one.task_name for one in page]
        position = page[-1].position
    assert found == list("abcde")


def test_who_begins_now_hears_only_of_what_comes(catalogue: Catalogue) -> None:
    made(catalogue, "before")
    settled(catalogue, 1)
    with catalogue.transaction() as session:
        position = events.end(session)
    made(catalogue, "after")
    assert [one.task_name for one in settled(catalogue, 1, position)] == ["after"]


def test_who_was_away_for_too_long_is_told_so(catalogue: Catalogue) -> None:
    made(catalogue, "a")
    made(catalogue, "b")
    first, second = (one.position for one in settled(catalogue, 2))
    with catalogue.transaction() as session:
        events.check(session, BEGINNING)
        assert events.forget(session, before=datetime.now(UTC) + timedelta(minutes=1), limit=1) == 1
        events.check(session, first)
        events.check(session, second)
        with pytest.raises(EventsForgotten):
            events.check(session, BEGINNING)
    assert [one.position for one in read(catalogue, first)] == [second]


def test_what_is_young_is_kept(catalogue: Catalogue) -> None:
    made(catalogue, "a")
    settled(catalogue, 1)
    with catalogue.transaction() as session:
        assert events.forget(session, before=datetime.now(UTC) - events.KEPT, limit=10) == 0


def test_events_that_another_server_counted_do_not_hide_what_comes(catalogue: Catalogue) -> None:
    far = 2**40
    with catalogue.transaction() as session:
        session.execute(
            text("INSERT INTO events (xid, type, task_id) VALUES (:xid, 'task.created', gen_random_uuid())"),
            {"xid": far},
        )
        session.execute(text("UPDATE forgotten_events SET xid = :xid"), {"xid": far})
    with catalogue.transaction() as session:
        events.forget(session, before=datetime.now(UTC) - events.KEPT, limit=10)
        events.check(session, BEGINNING)
        with pytest.raises(EventsForgotten):
            events.check(session, Position(far, 1))
    made(catalogue, "a")
    assert [one.task_name for one in settled(catalogue, 1)] == ["a"]


@pytest.mark.parametrize("text_", ["", "1", "1-", "-1", "1-2-3", "a-b", "1 -2", "٣-1", "9" * 21 + "-1"])
def test_an_id_that_nobody_made_is_none(text_: str) -> None:
    with pytest.raises(ValueError, match="is not the id of an event"):
        Position.parse(text_)


def test_an_id_is_read_as_it_was_written() -> None:
    assert Position.parse(str(Position(12, 34))) == Position(12, 34)

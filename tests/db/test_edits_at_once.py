"""Several people at once, in transactions that are really committed."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import text

from db import idempotency, revisions, tasks
from db.engine import Catalogue
from db.errors import IdempotencyKeyReused, StaleVersion, TaskNameTaken
from tests.db.conftest import NOW, a_task, create, view
from tests.waiting import wait_until

T = TypeVar("T")


def at_once(*calls: Callable[[], T]) -> list[T | Exception]:
    """What each call answers or raises, when all of them begin at the same moment."""
    barrier = threading.Barrier(len(calls))

    def begin(call: Callable[[], T]) -> T | Exception:
        barrier.wait(10)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - what it raises is what the test looks at
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(begin, calls))


def test_of_two_who_edit_the_same_version_one_wins_and_the_other_is_told(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        task_id = create(session)

    for seen in range(1, 4):

        def save_now(words: str, seen: int = seen) -> str:
            with catalogue.transaction() as session:
                tasks.replace_task(session, task_id, a_task(description=words), seen_version=seen, actor=words, now=NOW)
            return words

        answers = at_once(lambda: save_now("anna"), lambda: save_now("ben"), lambda: save_now("cleo"))
        winners = [answer for answer in answers if isinstance(answer, str)]
        assert len(winners) == 1
        assert all(isinstance(answer, StaleVersion) for answer in answers if answer not in winners)
        with catalogue.transaction() as session:
            task = view(session, task_id)
            assert (task.version, task.spec.description) == (seen + 1, winners[0])
            assert len(revisions.list_revisions(session, task_id)) == seen + 1


def test_pauses_and_edits_at_once_never_lose_a_version(catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        task_id = create(session)

    def pause() -> None:
        with catalogue.transaction() as session:
            tasks.pause_task(session, task_id, reason="x", actor="anna", now=NOW)

    assert at_once(*[pause] * 6) == [None] * 6
    with catalogue.transaction() as session:
        assert view(session, task_id).version == 7
        assert len(revisions.list_revisions(session, task_id)) == 7


def test_of_two_who_take_a_name_at_once_one_gets_it(catalogue: Catalogue) -> None:
    def take() -> str:
        with catalogue.transaction() as session:
            return str(create(session, name="backup"))

    answers = at_once(take, take, take)
    assert [type(answer) for answer in answers if not isinstance(answer, str)] == [TaskNameTaken] * 2


def test_a_repeat_that_arrives_while_the_first_is_at_work_gets_its_answer(catalogue: Catalogue) -> None:
    made: list[int] = []

    def request(number: int) -> dict[str, int]:
        with catalogue.transaction() as session:
            first = idempotency.first_answer(session, scope="POST /tasks", key="k", request={"a": 1}, now=NOW)
            if first is not None:
                return first
            made.append(number)
            answer = {"number": number}
            idempotency.remember(session, scope="POST /tasks", key="k", answer=answer)
            return answer

    answers = at_once(*[lambda number=number: request(number) for number in range(5)])
    assert len(made) == 1
    assert answers == [{"number": made[0]}] * 5


def waits_for_a_lock(catalogue: Catalogue) -> bool:
    with catalogue.transaction() as session:
        count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(session.scalar(text(count)))


def test_when_the_first_request_fails_the_waiting_repeat_does_the_work(catalogue: Catalogue) -> None:
    entered, answers = threading.Event(), []

    def second() -> None:
        entered.wait(10)
        with catalogue.transaction() as session:
            answers.append(idempotency.first_answer(session, scope="s", key="k", request={}, now=NOW))

    thread = threading.Thread(target=second)
    thread.start()
    with catalogue.transaction() as session:
        assert idempotency.first_answer(session, scope="s", key="k", request={}, now=NOW) is None
        entered.set()
        wait_until(lambda: waits_for_a_lock(catalogue), "the repeat to wait")
        session.rollback()
    thread.join(10)
    assert answers == [None]


def test_of_two_requests_with_one_key_the_other_one_is_refused(catalogue: Catalogue) -> None:
    def request(body: str) -> str | None:
        with catalogue.transaction() as session:
            idempotency.first_answer(session, scope="s", key="k", request=body, now=NOW)
            idempotency.remember(session, scope="s", key="k", answer={"body": body})
        return body

    answers = at_once(lambda: request("a"), lambda: request("b"))
    assert sorted(type(answer).__name__ for answer in answers) == [IdempotencyKeyReused.__name__, "str"]

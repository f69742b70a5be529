"""Whether people have accounts, as Prefect's server asks the catalogue."""

import asyncio
import threading
from datetime import UTC, datetime

from db import accounts
from db.access import Role
from db.engine import Catalogue
from flows.accounts import REMEMBERED_SECONDS, Accounts, asking


class Asked:
    """A catalogue that answers as it is told, and a clock."""

    def __init__(self) -> None:
        self.now, self.times = 0.0, 0
        self.answer: bool | Exception = False

    def ask(self) -> bool:
        self.times += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def later(self, answer: bool | Exception) -> "Asked":
        self.now, self.answer = self.now + REMEMBERED_SECONDS, answer
        return self


def test_the_catalogue_says_so_from_the_first_one_on(catalogue: Catalogue) -> None:
    ask = asking(catalogue)

    async def journey() -> None:
        asked = Asked()
        found = Accounts(ask, clock=lambda: asked.now)
        assert not await found.there_are_any()
        with catalogue.transaction() as session:
            now = datetime.now(UTC)
            accounts.add(session, "ada", role=Role.ADMIN, password="correct horse", actor="test", now=now)
        asked.later(True)
        assert await found.there_are_any()

    asyncio.run(journey())


def test_without_a_catalogue_there_always_are() -> None:
    assert asyncio.run(Accounts(None).there_are_any())


def test_it_is_asked_once_a_second_however_many_come() -> None:
    async def journey() -> None:
        asked = Asked()
        found = Accounts(asked.ask, clock=lambda: asked.now)
        assert await asyncio.gather(*(found.there_are_any() for _ in range(50))) == [False] * 50
        assert asked.times == 1
        asked.later(True)
        assert await found.there_are_any()
        assert asked.times == 2

    asyncio.run(journey())


def test_what_it_does_not_say_is_as_it_was_and_at_first_there_are_some() -> None:
    async def journey() -> None:
        asked = Asked().later(ValueError("whatever it is"))
        found = Accounts(asked.ask, clock=lambda: asked.now)
        said = [await found.there_are_any()]
        for answer in (False, OSError("away"), RuntimeError("away"), True, OSError("away")):
            asked.later(answer)
            said.append(await found.there_are_any())
        assert said == [True, False, False, False, True, True]

    asyncio.run(journey())


def test_a_question_without_an_answer_has_an_end_and_holds_one_thread() -> None:
    async def journey() -> None:
        asked, never, held = Asked(), threading.Event(), threading.Semaphore(0)

        def silent() -> bool:
            held.release()
            return never.wait(60)

        found = Accounts(silent, deadline_seconds=0.05, clock=lambda: asked.now)
        for _ in range(5):
            asked.later(True)
            assert await found.there_are_any()
        assert [held.acquire(blocking=False) for _ in range(2)] == [True, False]
        never.set()

    asyncio.run(journey())

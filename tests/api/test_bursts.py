"""Many who want to come in at once, at a real server."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
import uvicorn

from db import accounts, passwords
from db.access import Role
from db.engine import Catalogue
from tests.doors import house
from tests.system import free_port
from tests.waiting import wait_until

PASSWORD = "correct horse battery"
HOST = {"Host": "localhost:3000"}


@pytest.fixture
def url(catalogue: Catalogue) -> Iterator[str]:
    with catalogue.transaction() as session:
        accounts.add(session, "ada", role=Role.ADMIN, password=PASSWORD, actor="root", now=datetime.now(UTC))
    app = house(catalogue, {})
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, "the server to listen")
    yield f"http://127.0.0.1:{server.config.port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were compared."""
    found, is_right = [], passwords.is_right

    def noted(password: str, known: str | None) -> bool:
        answer = is_right(password, known)  # or too many are compared at this moment
        found.append(password)
        return answer

    monkeypatch.setattr(passwords, "is_right", noted)
    return found


def test_three_hundred_sign_ins_at_once_try_ten_passwords_and_nobody_else_waits(url: str, tried: list[str]) -> None:
    async def burst() -> tuple[Counter[int], list[float]]:
        limits = httpx.Limits(max_connections=400)
        async with httpx.AsyncClient(base_url=url, headers=HOST, limits=limits, timeout=60) as client:
            signed_in = await client.post("/sign-in", data={"name": "ada", "password": PASSWORD})
            assert signed_in.status_code == 303
            cookie = signed_in.headers["Set-Cookie"].partition(";")[0]
            guesses = [
                asyncio.create_task(client.post("/sign-in", data={"name": "ada", "password": f"wrong {number}"}))
                for number in range(300)
            ]
            took = []
            async with httpx.AsyncClient(base_url=url, headers={**HOST, "Cookie": cookie}, timeout=60) as other:
                for _ in range(5):
                    begun = time.monotonic()
                    assert (await other.get("/api/tasks")).status_code == 200
                    took.append(time.monotonic() - begun)
            answers = await asyncio.gather(*guesses)
            assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 429)
            return Counter(answer.status_code for answer in answers), took

    statuses, took = asyncio.run(burst())
    assert len(tried) <= 11
    assert statuses[401] <= 10
    assert statuses[401] + statuses[429] == 300
    assert max(took) < 5.0


def test_a_program_that_comes_with_many_requests_at_once_is_let_in_with_all_of_them(url: str, tried: list[str]) -> None:
    async def burst() -> list[int]:
        async with httpx.AsyncClient(base_url=url, headers=HOST, auth=("ada", PASSWORD), timeout=60) as client:
            answers = await asyncio.gather(*(client.get("/api/me") for _ in range(15)))
            return [answer.status_code for answer in answers]

    assert asyncio.run(burst()) == [200] * 15
    assert len(tried) == 1

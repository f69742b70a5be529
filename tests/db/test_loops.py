"""Loops: whatever a step raises, the loop goes on, is seen and counted; what cannot go on ends its process."""

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from db import loop_failures, loops
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.loops import records, threads
from db.loops.event_loop import _must_not_end
from tests.waiting import wait_until


class NobodyThoughtOfIt(Exception):
    pass


ANYTHING: list[BaseException] = [
    NobodyThoughtOfIt(),
    ValueError("a\0b"),
    RecursionError(),
    MemoryError(),
    CatalogueUnavailable(),
    KeyError("\udcff"),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(records, "LONGEST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(records, "_RECORDS", {})
    monkeypatch.setattr(records, "_AWAY", {})


def failing_first(errors: list[BaseException], done: Callable[[], object]) -> Callable[[], None]:
    left = list(errors)

    def step() -> None:
        if left:
            raise left.pop(0)
        done()

    return step


def test_a_loop_in_a_thread_survives_anything_that_is_raised() -> None:
    done = threading.Event()
    loop = loops.ThreadLoop("x", failing_first(list(ANYTHING), done.set)).start()
    assert done.wait(10)
    loop.stop()
    assert loops.failures() == {"x": len(ANYTHING)}


def test_a_loop_in_an_event_loop_survives_anything_that_is_raised() -> None:
    async def main() -> None:
        done = asyncio.Event()
        step = failing_first([*ANYTHING, asyncio.CancelledError(), TimeoutError()], done.set)

        async def astep() -> None:
            step()

        task = loops.start("x", astep)
        await asyncio.wait_for(done.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert loops.failures() == {"x": len(ANYTHING) + 2}


@pytest.mark.parametrize("answer", [None, KeyError("x"), TimeoutError(), CatalogueUnavailable()])
def test_a_loop_that_is_cancelled_ends_also_where_its_step_makes_something_else_of_it(answer: Exception | None) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def step() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if answer is not None:
                    raise answer from None

        task = loops.start("x", step)
        await begun.wait()
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()

    asyncio.run(main())


def test_a_log_that_cannot_be_written_ends_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ValueError(f"I/O operation on closed file: {record.levelno}")

    monkeypatch.setattr(records.log, "handlers", [Broken()])
    done = threading.Event()
    loop = loops.ThreadLoop("x", failing_first(list(ANYTHING), done.set)).start()
    assert done.wait(10)
    loop.stop()
    assert loops.failures() == {"x": len(ANYTHING)}


def test_a_step_that_takes_longer_than_its_budget_is_ended_and_made_again() -> None:
    async def main() -> None:
        done, begun = asyncio.Event(), 0

        async def step() -> None:
            nonlocal begun
            begun += 1
            if begun == 1:
                await asyncio.Event().wait()
            done.set()

        task = loops.start("x", step, budget_seconds=0.05)
        await asyncio.wait_for(done.wait(), 10)
        task.cancel()

    asyncio.run(main())
    assert loops.failures() == {"x": 1}


def test_a_hint_ends_the_rest_between_two_steps() -> None:
    wake, steps = threading.Event(), threading.Semaphore(0)
    loop = loops.ThreadLoop("x", steps.release, pause_seconds=60, wake=wake).start()
    assert steps.acquire(timeout=10)
    wake.set()
    assert steps.acquire(timeout=10)
    loop.stop()


def test_a_failure_of_a_kind_is_logged_once_and_the_recovery_is_told(caplog: pytest.LogCaptureFixture) -> None:
    record = loops.record_of("x")
    for _ in range(5):
        record.failed(CatalogueUnavailable("PostgreSQL takes no writes"))
    for _ in range(5):
        record.failed(KeyError("other"))
    record.went_well()
    said = [(each.levelno, each.message) for each in caplog.records]
    assert [level for level, _ in said] == [logging.WARNING, logging.ERROR, logging.WARNING]
    assert "takes no writes" in said[0][1]
    assert "goes on, after 10 failures" in said[2][1]


def test_what_is_away_is_told_once_for_all_loops_of_a_process(caplog: pytest.LogCaptureFixture) -> None:
    all_of_them = [loops.record_of(name) for name in "abc"]
    for _ in range(3):
        for record in all_of_them:
            record.failed(CatalogueUnavailable())
    for record in all_of_them:
        record.went_well()
    assert [each.message.partition(",")[0].partition(":")[0] for each in caplog.records] == ["a waits", "a goes on"]
    assert loops.failures() == {"a": 3, "b": 3, "c": 3}


def test_the_pause_after_failures_grows_to_a_bound() -> None:
    record = loops.record_of("x")
    pauses = [record.failed(KeyError()) for _ in range(2000)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert max(pauses) == records.LONGEST_PAUSE_SECONDS


def test_work_beside_is_seen_when_it_fails() -> None:
    async def main() -> None:
        async def fail() -> None:
            raise NobodyThoughtOfIt

        await loops.beside("x", fail())
        calls = iter([NobodyThoughtOfIt(), CatalogueUnavailable(), None])

        async def call() -> int:
            if error := next(calls):
                raise error
            return 7

        assert await loops.insist("y", call) == 7

    asyncio.run(main())

    def fail() -> None:
        raise NobodyThoughtOfIt

    loops.thread("z", fail).join(10)
    assert loops.failures() == {"x": 1, "y": 2, "z": 1}


class Ended(BaseException):
    pass


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the process would have ended."""
    found: list[str] = []
    monkeypatch.setattr(threads, "end_process", found.append)
    monkeypatch.setattr("db.loops.event_loop.end_process", found.append)
    return found


def test_what_cannot_be_revived_ends_its_process(ends: list[str]) -> None:
    def end() -> None:
        raise Ended

    loops.ThreadLoop("a thread", end).start()
    wait_until(lambda: bool(ends), "the end", seconds=10)

    async def main() -> None:
        async def over() -> None:
            return

        task = asyncio.create_task(over(), name="a loop")
        task.add_done_callback(_must_not_end)
        await task

    asyncio.run(main())
    assert [why.partition(" ended")[0] for why in ends] == ["a thread", "a loop"]


def test_a_step_that_never_returns_ends_its_process(ends: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "STUCK_TICKS", 3)
    watch, never = threads._Watch(), threading.Event()
    with watch.over("quick"):
        watch.tick()
    with watch.over("slow"):
        for _ in range(3):
            watch.tick()
        assert ends == []
        watch.tick()
    never.set()
    assert ends == ["slow has been stuck for 3 s."]


def test_failures_of_all_processes_are_added_up_in_the_catalogue(catalogue: Catalogue) -> None:
    for _ in range(2):
        loops.record_of("poll").failed(KeyError())
        loop_failures.Reporter(catalogue, "worker").report()
    with catalogue.transaction() as session:
        found = [(each.part, each.loop, each.failures, each.last_error) for each in loop_failures.all_of(session)]
    assert found == [("worker", "poll", 2, "KeyError")]


def test_failures_that_could_not_be_written_are_written_later(catalogue: Catalogue) -> None:
    away = Catalogue("postgresql://u:p@127.0.0.1:1/d")
    reporter = loop_failures.Reporter(away, "worker")
    loops.record_of("poll").failed(KeyError())
    with pytest.raises(CatalogueUnavailable):
        reporter.report()
    reporter._catalogue = catalogue
    reporter.report()
    with catalogue.transaction() as session:
        assert [each.failures for each in loop_failures.all_of(session)] == [1]

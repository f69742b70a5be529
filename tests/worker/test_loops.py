"""Whatever is raised in any loop of a worker, the loop goes on; runs start on time and nothing of them is lost."""

import ast
import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy.exc import DBAPIError

from db import journal, loops
from db.errors import CatalogueUnavailable
from db.loops import records
from db.prefect_answers import PrefectRefused, PrefectUnavailable
from db.states import RunState
from flows.worker import WarmWorker
from tests.db.test_sqlstates import MEANINGS, raised
from tests.waiting import wait_until
from tests.worker.conftest import Workplace
from tests.worker.test_worker import once_in, shell

pytestmark = pytest.mark.xdist_group("prefect")
FLOWS = Path(__file__).parents[2] / "flows"
AT_ONCE = frozenset({"worker.poll", "worker.heartbeat", "worker.watch", "worker.lines", "worker.lines to prefect"})
"""The loops that make a step every few seconds."""
SELDOM = frozenset({"worker.prefect heartbeat", "worker.warmed tidy"})


class NobodyThoughtOfIt(Exception):
    pass


def everything() -> list[BaseException]:
    """What a step may raise."""
    others = [NobodyThoughtOfIt("a\0b\udcff"), ValueError(), KeyError(), RecursionError(), MemoryError(), OSError()]
    ours = [CatalogueUnavailable(), PrefectUnavailable("away"), PrefectRefused("no", status=404)]
    ends = [TimeoutError(), asyncio.CancelledError()]
    return [*others, *ours, *ends, *(DBAPIError("SELECT 1", None, raised(state)) for state, _ in MEANINGS)]


def started_in(path: Path) -> Iterator[str]:
    """The names of the loops that a module starts."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("loops.start", "loops.ThreadLoop"):
            assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}: a loop has a name of its own"
            yield str(node.args[0].value)


def test_every_loop_of_a_worker_is_known_here() -> None:
    assert {name for path in FLOWS.glob("*.py") for name in started_in(path)} == AT_ONCE | SELDOM


@contextmanager
def a_worker_here(workplace: Workplace) -> Iterator[None]:
    """A worker in a thread of this process, as the prefect CLI starts one in its own."""
    stop: list[Callable[[], Any]] = []

    async def work() -> None:
        with temporary_settings({PREFECT_API_URL: workplace.server.url}):
            worker = WarmWorker(work_pool_name="default", name="w1")
            working = asyncio.ensure_future(worker.start())
            loop = asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(working.cancel))
            await asyncio.gather(working, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(work()), name="worker")
    thread.start()
    try:
        wait_until(workplace.present, "the worker to be there", seconds=60)
        yield
    finally:
        stop[0]()
        thread.join(30)


@pytest.fixture
def thrown(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[BaseException]]:
    """What the next steps of each loop raise, the last first."""
    errors: dict[str, list[BaseException]] = {}

    def throw(name: str) -> None:
        if errors.get(name):
            raise errors[name].pop()

    monkeypatch.setattr(records, "before_step", throw)
    monkeypatch.setattr(records, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(records, "LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(records, "_RECORDS", {})
    return errors


def test_every_loop_goes_on_whatever_is_raised_in_it_and_the_next_run_is_on_time_and_complete(
    workplace: Workplace, thrown: dict[str, list[BaseException]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUETIME_DATABASE_URL", workplace.catalogue.url)
    monkeypatch.setattr(journal, "keep", lambda **_: None)  # the loggers of this process are pytest's
    thrown.update({name: everything() for name in AT_ONCE | SELDOM})
    with a_worker_here(workplace):
        wait_until(lambda: not any(thrown.values()), "everything to be raised", seconds=60)
        command = "for i in $(seq 20); do echo line $i; sleep 0.1; done"
        task = workplace.world.create(action=shell(command), schedule=once_in(8))
        run = wait_until(lambda: workplace.runs_of(task), "the run")[0]
        # And once more, in the midst of it.
        thrown.update({name: everything() for name in AT_ONCE})
        over = workplace.ended(task, seconds=30)[0]
        wait_until(lambda: not any(thrown.values()), "everything to be raised again", seconds=60)
        workplace.prefect_says(run.id, "Completed")
        assert over.state == RunState.COMPLETED
        assert over.lateness_seconds is not None
        assert over.lateness_seconds < 5
        assert workplace.lines_of(run.id) == [f"line {number}" for number in range(1, 21)]
        [here] = workplace.present()
        assert here.loop_lag_seconds is not None
    failures, times = loops.failures(), len(everything())
    assert {name: failures[name] >= times for name in AT_ONCE | SELDOM} == dict.fromkeys(AT_ONCE | SELDOM, True)

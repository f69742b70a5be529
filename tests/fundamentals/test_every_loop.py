"""Every loop of the dashboard, of `duetime up` and of the catalogue's own threads goes on whatever is raised in it.

The loops are found in the source, so that none is left out. Each is thrown everything that nobody thought of and every
SQLSTATE that is known, and then does its work, with nothing lost.
"""

import ast
import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.testclient import TestClient

from cli.data_folder import DataFolder
from cli.stopping import Stopping
from cli.supervision import Supervisor
from dashboard import bulk
from dashboard.bounded import Bounded
from dashboard.event_feed import Feed
from dashboard.gate import _gone
from dashboard.live import Hub, live_route
from dashboard.output import output_routes
from dashboard.paced import FRESH_SECONDS, Paced
from db import events, logs, loop_failures, loops, notifications, tasks
from db.access import Role
from db.connections import connect
from db.engine import Catalogue
from db.events import Wanted
from db.logs import Line
from db.loops import records
from db.notifications import Listener, Topic, notify
from db.specs import parse_task
from db.states import Level, Stream
from tests.db.test_loops import ANYTHING
from tests.db.test_sqlstates import CODES, raised
from tests.doors import ANYBODY
from tests.fundamentals.test_loops import modules
from tests.waiting import until_told, wait_until

ROOMS = ("cli", "dashboard", "db")
ERRORS: list[Exception] = [
    *(error for error in ANYTHING if isinstance(error, Exception)),
    *(raised(state) for states in CODES.values() for state in states.split()),
]
MAKERS = {"ThreadLoop": 0, "thread": 0, "start": 0, "insist": 0, "beside": 0, "while_connected": 1}
"""What makes loops and work beside them, and which argument is the name."""


def registered() -> set[str]:
    """The names under which these rooms have something run."""
    calls = (
        node
        for room in ROOMS
        for path in modules(room)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    )
    return {name for call in calls if (name := _name_given(call)) is not None}


def _name_given(call: ast.Call) -> str | None:
    function = call.func
    maker = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    is_ours = maker == "while_connected" or (isinstance(function, ast.Attribute) and _is_loops(function.value))
    if not is_ours or maker not in MAKERS or len(call.args) <= MAKERS[maker]:
        return None
    name = call.args[MAKERS[maker]]
    return str(name.value) if isinstance(name, ast.Constant) else None


def _is_loops(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id == "loops"


TRIED: set[str] = set()
F = TypeVar("F", bound=Callable[..., None])


def tries(*names: str) -> Callable[[F], F]:
    """Marks a test as that of some loops."""
    TRIED.update(names)
    return lambda test: test


class Trouble:
    """Raises each error once, one after the other, and then none."""

    def __init__(self) -> None:
        self.left = list(ERRORS)

    def stir(self, *_: object, **__: object) -> None:
        if self.left:
            raise self.left.pop()

    def before(self, action: Callable[..., Any]) -> Callable[..., Any]:
        def troubled(*arguments: Any, **named: Any) -> Any:
            self.stir()
            return action(*arguments, **named)

        return troubled

    @property
    def is_over(self) -> bool:
        return not self.left


class TroubledCatalogue(Catalogue):
    """Of which every transaction fails, until there is nothing left to be raised."""

    def __init__(self, catalogue: Catalogue, trouble: Trouble) -> None:
        self.__dict__ |= catalogue.__dict__
        self._trouble = trouble

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self._trouble.stir()
        with super().transaction() as session:
            yield session


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FIRST_PAUSE_SECONDS", 0.0001)
    monkeypatch.setattr(records, "LONGEST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(records, "_RECORDS", {})


@pytest.fixture
def trouble() -> Trouble:
    return Trouble()


def failures(*loops_: str) -> int:
    return sum(loops.failures().get(name, 0) for name in loops_)


def create(catalogue: Catalogue, name: str) -> None:
    spec = {"name": name, "kind": "shell", "action": {"command": "true"}, "schedule": {"kind": "manual"}}
    with catalogue.transaction() as session:
        tasks.create_task(session, parse_task(spec), actor="anna", now=datetime.now(UTC))


@tries("listener")
def test_listener(catalogue: Catalogue, trouble: Trouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "connect", trouble.before(connect))
    heard: set[str] = set()
    listener = Listener(catalogue.url, heard.update).start()
    wait_until(lambda: listener.connected, "it listens")
    with catalogue.transaction() as session:
        notify(session, [Topic.TASKS])
    wait_until(lambda: Topic.TASKS in heard, "the hint")
    listener.stop()
    assert failures("listener") == len(ERRORS)


def test_a_hint_that_wakes_one_badly_wakes_the_others(catalogue: Catalogue) -> None:
    async def hear() -> frozenset[str]:
        hub = Hub(catalogue.url)
        with hub.subscription([Topic.TASKS]) as broken, hub.subscription([Topic.TASKS]) as well:
            broken.wake = Trouble().stir  # type: ignore[method-assign]
            for _ in ERRORS:
                hub._publish(frozenset({Topic.TASKS}))
            return await well.changes(within_seconds=5)

    assert asyncio.run(hear()) == {Topic.TASKS}
    assert failures("hub: a hint") == len(ERRORS)


@tries("loop failures")
def test_loop_failures(catalogue: Catalogue, trouble: Trouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_failures, "REPORT_SECONDS", 0.001)
    loops.record_of("x").failed(KeyError())
    reporter = loop_failures.Reporter(TroubledCatalogue(catalogue, trouble), "dashboard").start()

    def reported() -> dict[str, int]:
        with catalogue.transaction() as session:
            return {row.loop: row.failures for row in loop_failures.all_of(session)}

    wait_until(lambda: reported() == {"x": 1, "loop failures": len(ERRORS)}, "what failed to be written", seconds=30)
    reporter.stop()


@tries("event feed", "event feed for one")
def test_event_feed(catalogue: Catalogue, trouble: Trouble) -> None:
    """Both what is read for all and what is read for one."""
    count = 20

    async def listen() -> list[str]:
        hub = Hub(catalogue.url)
        feed = Feed(TroubledCatalogue(catalogue, trouble), hub, lambda event: str(event.task_name))
        position = await Feed(catalogue, hub, str).start_of(None)
        heard: list[str] = []
        async with asyncio.timeout(60):
            async for text in feed.listen(position, Wanted(frozenset({"task.created"}))):
                if len(heard) < count and not heard:
                    for number in range(count):
                        await asyncio.to_thread(create, catalogue, f"task {number}")
                heard += [line[6:] for line in text.decode().splitlines() if line.startswith("data: ")] or ["?"]
                if len([name for name in heard if name != "?"]) == count and trouble.is_over:
                    return [name for name in heard if name != "?"]
        return heard

    assert asyncio.run(listen()) == [f"task {number}" for number in range(count)]
    assert failures("event feed", "event feed for one") == len(ERRORS)


def test_an_event_that_cannot_be_told_is_left_out(catalogue: Catalogue) -> None:
    def as_text(event: events.Event) -> str:
        if event.task_name == "broken":
            raise ValueError("a\0b")
        return str(event.task_name)

    feed = Feed(catalogue, Hub(catalogue.url), as_text)
    for name in ("a", "broken", "b"):
        create(catalogue, name)
    until_told(catalogue)
    with catalogue.transaction() as session:
        found = feed._read(session, after=events.Position(0, 0))
    assert [b"data" in one.text for one in found] == [True, False, True]


@tries("live page")
def test_live_page(catalogue: Catalogue, trouble: Trouble, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(catalogue.url)
    monkeypatch.setattr(Hub, "connected", property(trouble.before(lambda _hub: True)))
    with TestClient(Starlette(routes=[live_route(hub)])) as client, client.websocket_connect("/live") as page:
        page.send_json({"topics": [Topic.TASKS]})
        assert page.receive_json() == {"connected": True}
        assert trouble.is_over
        hub._publish(frozenset({Topic.TASKS}))
        assert page.receive_json() == {"changed": "change"}
    assert failures("live page") == len(ERRORS)


@tries("output page")
def test_output_page(catalogue: Catalogue, trouble: Trouble) -> None:
    run, hub = uuid4(), Hub(catalogue.url)

    def say(message: str) -> None:
        with catalogue.transaction() as session:
            now = datetime.now(UTC)
            logs.append(session, [Line(run, now, Level.INFO, Stream.STDOUT, message)])

    say("before")
    routes = output_routes(TroubledCatalogue(catalogue, trouble), hub)
    with TestClient(Starlette(routes=routes)) as client, client.websocket_connect(f"/live/logs/{run}") as page:
        page.send_json({"after": None})
        assert [line[4] for line in page.receive_json()["lines"]] == ["before"]
        trouble.left = list(ERRORS)
        say("after")
        hub._publish(frozenset({notifications.of(Topic.LOGS, run)}))
        assert [line[4] for line in page.receive_json()["lines"]] == ["after"]
    assert failures("output page") == 2 * len(ERRORS)


@tries("supervisor")
def test_supervisor(tmp_path: Path, trouble: Trouble) -> None:
    folder, stopping = DataFolder(tmp_path / "data"), Stopping()
    with folder.held(with_postgres=False):

        def also() -> float:
            trouble.stir()
            stopping.request()
            return 0.0

        Supervisor(folder, stopping).watch(also)
    assert failures("supervisor") == len(ERRORS)


@tries("paced")
def test_paced(trouble: Trouble) -> None:
    clock = iter(range(0, 10**9, round(FRESH_SECONDS) + 1))
    reads = iter(range(10**9))
    paced = Paced(lambda: next(reads), keeps_nobody_waiting=True, clock=lambda: float(next(clock)))
    assert paced.get(0).value == 0
    paced._read = trouble.before(paced._read)

    def is_renewed() -> bool:
        return paced.get(time.monotonic()).value > 0

    wait_until(is_renewed, "it to be read again", every=0.001)
    assert trouble.is_over
    assert failures("paced") == len(ERRORS)


@tries("bulk")
def test_bulk(catalogue: Catalogue, trouble: Trouble) -> None:
    tasks_ = [uuid4() for _ in range(len(ERRORS) + 3)]
    by = bulk.By(ANYBODY, Role.VIEWER, "")
    done = bulk.begin(catalogue, "All of them", tasks_, trouble.before(lambda *_: None), by=by)
    wait_until(lambda: done.is_over, "the end")
    assert (done.done, len(done.refusals)) == (3, len(ERRORS))


@tries("health")
def test_health(trouble: Trouble) -> None:
    async def ask() -> list[int]:
        asked = Bounded(trouble.before(lambda: 7), lambda _seconds: -1)
        answers = []
        for _ in range(len(ERRORS) + 1):
            with suppress(Exception):  # it is answered as not ready
                answers.append(await asked.answer())
        return answers

    assert asyncio.run(ask()) == [7]
    assert failures("health") == len(ERRORS)


@tries("gate")
def test_gate(trouble: Trouble) -> None:
    """Whoever cannot be heard any more is gone."""

    async def receive() -> None:
        trouble.stir()

    async def hear() -> list[object]:
        return [await loops.beside("gate", receive()) for _ in ERRORS]

    assert asyncio.run(hear()) == [None] * len(ERRORS)
    assert _gone({"type": "websocket"})["type"] == "websocket.disconnect"
    assert failures("gate") == len(ERRORS)


@tries("postgres-exit")
def test_postgres_exit(trouble: Trouble) -> None:
    for _ in ERRORS:
        loops.thread("postgres-exit", trouble.stir).join(10)
    assert failures("postgres-exit") == len(ERRORS)


def test_all_loops_of_these_rooms_are_tried_here() -> None:
    assert registered() == TRIED

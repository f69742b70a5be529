"""No loop outside of the module that keeps loops alive: one that is written by hand ends at what nobody thought of."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("cli", "dashboard", "db", "flows", "reconciler")
LOOPS = ROOT / "db" / "loops"
STARTS = {"Thread", "Timer", "create_task", "ensure_future", "start_new_thread"}
STOPPED = {"is_set", "stopped", "_stopped"}


def modules(room: str) -> list[Path]:
    return sorted(path for path in (ROOT / room).rglob("*.py") if LOOPS not in path.parents)


def handmade(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Loops without an end, and what is started without anybody who sees it end."""
    for node in ast.walk(tree):
        if isinstance(node, ast.While) and _is_endless(node.test):
            yield node.lineno, "a loop without an end"
        if isinstance(node, ast.Call) and (name := _name(node.func)) in STARTS and not _is_of_the_catalogue(node.func):
            yield node.lineno, f"{name}()"


def _is_endless(test: ast.expr) -> bool:
    if isinstance(test, ast.Constant):
        return bool(test.value)
    return any(_name(node) in STOPPED for node in ast.walk(test) if isinstance(node, ast.Name | ast.Attribute))


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_of_the_catalogue(function: ast.expr) -> bool:
    """`tasks.create_task` makes a task of ours, not asyncio's."""
    return isinstance(function, ast.Attribute) and _name(function.value) == "tasks"


@pytest.mark.parametrize("room", ROOMS)
def test_every_loop_thread_and_task_is_run_by_the_module_of_loops(room: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}": what
        for path in modules(room)
        for line, what in handmade(ast.parse(path.read_text()))
    }
    assert found == {}, "use db.loops: a loop by hand ends silently"


@pytest.mark.parametrize(
    "text",
    [
        "while True: pass",
        "while 1: pass",
        "while not self._stopped.is_set(): pass",
        "threading.Thread(target=f)",
        "asyncio.create_task(f())",
        "asyncio.get_running_loop().create_task(f())",
        "asyncio.ensure_future(f())",
    ],
)
def test_a_loop_by_hand_is_found(text: str) -> None:
    assert list(handmade(ast.parse(text)))


def test_a_task_of_the_catalogue_is_not_taken_for_one() -> None:
    assert not list(handmade(ast.parse("tasks.create_task(session, spec)\nwhile rest := read(): pass")))


def test_connections_to_postgresql_are_made_in_one_place_where_they_get_their_limits() -> None:
    makers = ("psycopg.connect(", "Connection.connect(", "create_engine(")
    found = {
        str(path.relative_to(ROOT))
        for room in ("cli", "dashboard", "db", "flows", "reconciler")
        for path in modules(room)
        if any(maker in path.read_text() for maker in makers)
    }
    assert found == {"db/connections.py", "db/engine.py"}

"""Whatever is raised in any loop of the reconciler, it is made again, and the others go on meanwhile."""

import ast
import threading
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from db import loops
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.loops import records
from db.sqlstates import Meaning, meaning_of
from reconciler.answers import PrefectRefused, PrefectUnavailable
from reconciler.deadlines import TookTooLong
from reconciler.loop import Reconciler
from reconciler.prefect import Prefect
from tests.db.test_sqlstates import MEANINGS, raised
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


class NobodyThoughtOfIt(Exception):
    pass


def as_the_catalogue_raises_it(state: str) -> Exception:
    error = DBAPIError("SELECT 1", None, raised(state))
    return CatalogueUnavailable(state) if meaning_of(error) is Meaning.AWAY else error


ANYTHING: list[Exception] = [
    NobodyThoughtOfIt(),
    RecursionError(),
    MemoryError(),
    KeyError("\udcff"),
    StopIteration(),
    PrefectUnavailable("It is away."),
    PrefectRefused("No.", status=409),
    TookTooLong("This", 1),
    *(as_the_catalogue_raises_it(state) for state, _ in MEANINGS),
]


@pytest.fixture
def everything_raised(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Each loop raises each of them, one after the other; how often each step came to its end."""
    made: Counter[str] = Counter()
    left = {name: list(ANYTHING) for name in loops_of_the_reconciler()}
    monkeypatch.setattr(records, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(records, "LONGEST_PAUSE_SECONDS", 0.002)
    monkeypatch.setattr(records, "_RECORDS", {})
    lock = threading.Lock()

    def before(name: str) -> None:
        with lock:
            if left.get(name):
                raise left[name].pop()
            made[name] += 1

    monkeypatch.setattr(records, "before_step", before)
    return made


def loops_of_the_reconciler() -> set[str]:
    """Every loop and pass that its source names."""
    found = set()
    for path in (ROOT / "reconciler").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "ThreadLoop":
                found.add(str(node.args[0].value))
            if name == "Pass":
                found.add(f"reconciler.{node.args[0].value!s}")
    return found | {"listener", "loop failures"}


def test_every_loop_and_pass_goes_on_after_anything_and_each_sqlstate(
    catalogue: Catalogue, everything_raised: Counter[str]
) -> None:
    named = loops_of_the_reconciler()
    assert len(named) > 20
    nowhere = Prefect("http://127.0.0.1:9/api")
    reconciler = Reconciler(catalogue, nowhere)
    assert named > {f"reconciler.{each.name}" for each in reconciler.passes}
    reconciler.start()
    try:
        wait_until(lambda: all(everything_raised[name] >= 1 for name in named), "each of them to be made again")
        failures = loops.failures()
        assert {name: failures[name] >= len(ANYTHING) for name in named} == dict.fromkeys(named, True)
        without_prefect = ("write_ahead", "chains", "resume", "partitions", "trials", "note_passes")
        wait_until(
            lambda: all(each.made_at for each in reconciler.passes if each.name in without_prefect),
            "the passes on the catalogue alone to be made to their end",
        )
    finally:
        reconciler.close()
        nowhere.close()

"""What cannot be handled is left alone for a growing while, seen, and tried again; the others are not kept waiting."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from db import loops, problems, set_aside, tasks
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.loops import records
from db.specs import parse_task
from db.states import ProblemKind
from reconciler.answers import PrefectRefused, PrefectUnavailable
from reconciler.aside import AWAY_IN_A_ROW, FORGOTTEN_SECONDS, LONGEST_SECONDS, Aside, Asides
from reconciler.deadlines import TookTooLong
from reconciler.lease import LeaseLost
from tests.db.conftest import document
from tests.reconciler.conftest import now

AWAY = PrefectUnavailable("It answers 500.", answered=True)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The counter of seconds."""
    counted = [1000.0]
    monkeypatch.setattr("reconciler.aside.counter", lambda: counted[0])
    monkeypatch.setattr(records, "_RECORDS", {})
    return counted


def handled(aside: Aside, things: str, do: Callable[[str], None]) -> str:
    """Those of the things that were handled."""
    done = ""
    for thing in aside.ready(things, lambda one: one):
        with aside.alone(thing):
            do(thing)
            done += thing
    return done


def fails_at(bad: str, error: Exception) -> Callable[[str], None]:
    def do(thing: str) -> None:
        if thing in bad:
            raise error

    return do


@pytest.mark.parametrize("error", [AWAY, CatalogueUnavailable(), PrefectRefused("No.", status=422), KeyError("x")])
def test_one_that_cannot_be_handled_keeps_no_other_one(error: Exception) -> None:
    assert handled(Aside("things"), "abc", fails_at("b", error)) == "ac"


def test_it_is_left_alone_for_a_growing_while_up_to_a_bound(clock: list[float]) -> None:
    aside, pauses = Aside("things"), []
    for _ in range(12):
        handled(aside, "b", fails_at("b", KeyError()))
        began = clock[0]
        while aside.waits("b"):
            clock[0] += 0.5
        pauses.append(clock[0] - began)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1.0, LONGEST_SECONDS)
    assert handled(aside, "b", lambda _: None) == "b"
    handled(aside, "b", fails_at("b", KeyError()))
    clock[0] += 1.0
    assert not aside.waits("b"), "it begins anew after a success"


def test_many_in_a_row_that_get_no_answer_mean_that_nobody_is_there() -> None:
    aside, tried = Aside("things"), ""

    def do(thing: str) -> None:
        nonlocal tried
        tried += thing
        raise AWAY

    with pytest.raises(PrefectUnavailable):
        handled(aside, "abcdefgh", do)
    assert len(tried) == AWAY_IN_A_ROW


@pytest.mark.parametrize("error", [PrefectUnavailable("No route."), LeaseLost(), TookTooLong("This", 1)])
def test_what_is_not_about_the_one_thing_is_raised_at_once_and_holds_nothing_back(error: Exception) -> None:
    aside = Aside("things")
    with pytest.raises(type(error)):
        handled(aside, "abc", fails_at("a", error))
    assert not aside.waits("a")


def test_what_nobody_thought_of_is_counted_and_what_is_said_by_others_is_told_in_their_words() -> None:
    aside = Aside("odd things")
    handled(aside, "a", fails_at("a", KeyError("secret")))
    handled(aside, "b", fails_at("b", PrefectRefused("Prefect answers 422: no such pool", status=422)))
    assert loops.failures() == {"reconciler.odd_things": 1}
    reasons = {item.key: item.reason for item in aside.items()}
    assert "KeyError" in reasons["a"]
    assert "secret" not in reasons["a"]
    assert reasons["b"] == "Prefect answers 422: no such pool"


def test_what_is_not_met_any_more_is_forgotten(clock: list[float]) -> None:
    aside = Aside("things")
    handled(aside, "a", fails_at("a", KeyError()))
    clock[0] += FORGOTTEN_SECONDS
    assert len(aside.items()) == 1
    clock[0] += 2
    assert aside.items() == []


def test_it_is_a_problem_of_its_task_once_it_was_tried_a_few_times(catalogue: Catalogue, clock: list[float]) -> None:
    with catalogue.transaction() as session:
        task_id = tasks.create_task(session, parse_task(document()), actor="test", now=now())
    asides, written = Asides(), list[set_aside.Item]()

    def write(items: list[set_aside.Item]) -> None:
        written[:] = items
        with catalogue.transaction() as session:
            set_aside.write(session, items)

    def failing(_: list[set_aside.Item]) -> None:
        raise CatalogueUnavailable

    whose = {"request": task_id, "deployment": None, "of a task that is gone": uuid4()}
    for times in range(1, problems.TRIED + 1):
        for key, owner in whose.items():
            with asides.of("things").alone(key, task_id=owner):
                raise PrefectRefused("No such pool.", status=404)
        clock[0] += LONGEST_SECONDS
        with pytest.raises(CatalogueUnavailable):
            asides.tell(1, failing)
        asides.tell(1, write)
        asides.tell(1, failing)  # there is no news
        with catalogue.transaction() as session:
            found = [each for each in problems.open_problems(session, now=now()) if each.kind is ProblemKind.SET_ASIDE]
        assert len(found) == (3 if times == problems.TRIED else 0)
    assert {each.task_id for each in found} == {task_id, None}
    assert {each.cause for each in found} == {"No such pool."}
    asides.of("things").clear("request")
    asides.tell(1, write)
    assert len(written) == 2
    written.clear()
    asides.tell(2, write)
    assert len(written) == 2, "who begins to lead writes all of it anew"


def test_a_reason_with_anything_in_it_can_be_written(catalogue: Catalogue) -> None:
    asides = Asides()
    with asides.of("things").alone("one"):
        raise PrefectRefused("a\0b\udcff" * 1000, status=404)
    with catalogue.transaction() as session:
        set_aside.write(session, asides.of("things").items())

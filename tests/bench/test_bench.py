"""The harness itself, on the yardstick: a real recorder, a real PostgreSQL, real commands."""

from collections.abc import Iterator

import pytest

from bench.measuring import Bench
from bench.peers.face import Place, a_place
from bench.peers.yardstick import Yardstick
from bench.scenarios import EverySecond, RunNow, Scenario, Together
from bench.work import Kind


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with a_place() as place:
        yield place


@pytest.fixture(scope="module")
def bench(place: Place) -> Bench:
    return Bench(place.recorder)


@pytest.fixture(scope="module")
def yardstick(place: Place) -> Iterator[Yardstick]:
    peer = Yardstick(place)
    peer.start()
    yield peer
    peer.stop()


pytestmark = [pytest.mark.long, pytest.mark.xdist_group("bench")]

SCENARIOS = [
    Together("due-5/http", Kind.HTTP, 20, count=5),
    EverySecond("rate-2", Kind.SHELL, 20, tasks=2, seconds=2, idle=3),
    RunNow("run-now/python", Kind.PYTHON, 20, count=1, longest_pause_seconds=0.5),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[each.name for each in SCENARIOS])
def test_a_scenario_has_each_run_once_and_none_early(bench: Bench, yardstick: Yardstick, scenario: Scenario) -> None:
    found = bench.measure(scenario, "yardstick", yardstick).figures
    assert found is not None
    assert found["started"] == found["expected"] > 0
    assert (found["lost"], found["doubled"]) == (0, 0)
    assert found["min"] >= 0
    assert found["cpu_ms"]["worker"] > 0

import math

from hypothesis import given
from hypothesis import strategies as st

from bench.arrivals import Arrival, instant, parse
from bench.figures import delays, figures, medians, quantile, starts

EVERY_SECOND = {"tick": [100.0, 101.0, 102.0]}
ONCE = {"burst-0": [50.0], "burst-1": [50.0]}
finite = st.floats(min_value=-1e6, max_value=1e6)


def test_a_delay_is_from_the_due_instant_to_the_first_start() -> None:
    heard = [Arrival("tick", 100.0, 100.25), Arrival("tick", 101.0, 101.5), Arrival("tick", 102.0, 102.75)]
    found = figures(EVERY_SECOND, heard)
    assert (found.min, found.p50, found.p99, found.max) == (0.25, 0.5, 0.75, 0.75)
    assert (found.started, found.lost, found.doubled) == (3, 0, 0)


def test_a_second_start_makes_up_for_no_lost_one() -> None:
    heard = [Arrival("tick", 100.0, 100.25), Arrival("tick", 100.0, 107.0), Arrival("tick", 102.0, 102.25)]
    found = figures(EVERY_SECOND, heard)
    assert (found.started, found.lost, found.doubled) == (2, 1, 1)
    assert found.max == 0.25, "the first start counts"


def test_a_one_shot_need_not_say_when_it_was_due() -> None:
    found = figures(ONCE, [Arrival("burst-1", None, 50.5), Arrival("burst-0", 49.9, 50.25)])
    assert (found.started, found.lost, found.min, found.max) == (2, 0, 0.25, 0.5)


def test_what_was_due_at_another_time_is_nobodys_run() -> None:
    heard = [Arrival("tick", 103.0, 103.5), Arrival("other", 100.0, 100.5), Arrival("tick", None, 101.0)]
    assert figures(EVERY_SECOND, heard).lost == 3


def test_a_start_ahead_of_its_due_instant_is_seen() -> None:
    assert figures(ONCE, [Arrival("burst-0", 50.0, 49.75)]).min == -0.25


def test_nothing_started_has_no_delays() -> None:
    found = figures(ONCE, [])
    assert (found.p50, found.max, found.per_second, found.lost) == (None, None, None, 2)


def test_the_starts_of_a_burst_are_counted_until_the_last_one() -> None:
    assert figures(ONCE, [Arrival("burst-0", 50.0, 50.25), Arrival("burst-1", 50.0, 50.5)]).per_second == 4


def test_a_rate_is_counted_until_the_end_of_its_last_second() -> None:
    assert figures(EVERY_SECOND, [Arrival("tick", due, due + 0.1) for due in (100.0, 101.0, 102.0)]).per_second == 1


@given(st.lists(st.tuples(st.sampled_from([100, 101, 102]), st.floats(0, 10)), max_size=20))
def test_every_arrival_is_a_first_start_or_a_second_one(heard: list[tuple[int, float]]) -> None:
    arrivals = [Arrival("tick", float(due), due + delay) for due, delay in heard]
    found, doubled = starts(EVERY_SECOND, arrivals)
    assert len(found) + doubled == len(arrivals)
    assert len(found) == len(delays(EVERY_SECOND, arrivals)) == len({due for due, _ in heard})


@given(st.lists(finite, min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_not_exceeded_by_its_share_of_them_and_is_the_smallest_such(
    values: list[float], q: float
) -> None:
    ordered = sorted(values)
    found = quantile(ordered, q)
    assert found in ordered
    assert found is not None
    assert sum(value <= found for value in ordered) >= math.floor(q * len(ordered))
    assert sum(value < found for value in ordered) < q * len(ordered)


def test_medians_are_taken_of_each_number_and_of_those_inside() -> None:
    rounds = [{"p50": n, "cpu_ms": {"worker": n * 10}, "note": "as it is", "max": None} for n in (3, 1, 2)]
    assert medians(rounds) == {"p50": 2, "cpu_ms": {"worker": 20}, "note": "as it is", "max": None}


def test_a_round_without_a_figure_does_not_count_for_it() -> None:
    assert medians([{"p50": None, "prefect": None}, {"p50": 4, "prefect": {"wrong": 0}}]) == {
        "p50": 4,
        "prefect": {"wrong": 0},
    }


def test_due_times_are_read_as_peers_write_them() -> None:
    assert instant("-") is None
    assert instant("1764028800.500") == 1764028800.5
    assert instant("2025-11-25T00:00:00.500000Z") == 1764028800.5
    assert parse("shell burst-1 1764028800 1764028800.25") == Arrival("burst-1", 1764028800.0, 1764028800.25)

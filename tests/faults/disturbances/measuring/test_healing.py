"""How long it took, and whether `/readyz` lied, from starts and samples that are made up."""

from tests.faults.disturbances.measuring.healing import Healing, Sample, healing, lies, longest_without_start

T = 1_800_000_000


def pulse(late: range = range(0), missing: range = range(0), seconds: int = 60) -> dict[int, float]:
    """Each due time starts within a hundredth of a second, or two seconds late, or not at all."""
    offsets = {second: 2.0 if second in late else 0.01 for second in range(seconds) if second not in missing}
    return {T + second: T + second + offset for second, offset in offsets.items()}


def samples(unready: range = range(0), seconds: int = 60) -> list[Sample]:
    return [Sample(T + second, ready=second not in unready) for second in range(seconds)]


def test_what_never_stopped_has_healed_at_once() -> None:
    found = healing([pulse()], samples(), ended_at=T + 20.5, until=T + 50)
    assert found == Healing(first=0.5, steady=0.0, ready=0.0)


def test_the_slowest_pulse_counts_from_its_first_due_time_that_is_on_time() -> None:
    found = healing([pulse(missing=range(10, 24)), pulse(late=range(10, 30))], samples(), ended_at=T + 20, until=T + 50)
    assert (found.first, found.steady) == (10, 10)


def test_a_relapse_shows_in_when_it_is_steady() -> None:
    relapsing = {**pulse(), T + 35: T + 40.0}
    found = healing([relapsing], samples(), ended_at=T + 20, until=T + 50)
    assert (found.first, found.steady) == (1, 16)


def test_what_never_starts_again_has_not_healed() -> None:
    found = healing([pulse(), pulse(missing=range(10, 60))], samples(), ended_at=T + 20, until=T + 50)
    assert (found.first, found.steady) == (None, None)


def test_ready_is_from_when_it_stays_so() -> None:
    flapping = [*samples(range(15, 25), seconds=30), *samples(range(33), seconds=60)[32:]]
    assert healing([pulse()], flapping, ended_at=T + 20, until=T + 50).ready == 13
    assert healing([pulse()], samples(range(50, 60)), ended_at=T + 20, until=T + 60).ready is None


def test_only_a_standstill_makes_a_lie_of_ready() -> None:
    standstill = pulse(missing=range(10, 40))
    assert list(lies(pulse().values(), samples(), begin=T, until=T + 60)) == []
    assert list(lies(standstill.values(), samples(range(20, 41)), begin=T, until=T + 60)) == []
    (found,) = lies(standstill.values(), samples(range(35, 41)), begin=T, until=T + 60)
    assert "nothing was started for 31 s" in found


def test_a_system_that_never_starts_anything_again_and_says_ready_lies() -> None:
    assert list(lies(pulse(seconds=10).values(), samples(), begin=T, until=T + 60))


def test_due_times_in_a_row_without_a_start_are_counted() -> None:
    assert longest_without_start(pulse(), begin=T, end=T + 50) == 0
    assert longest_without_start(pulse(missing=range(10, 14), late=range(14, 17)), begin=T, end=T + 50) == 7

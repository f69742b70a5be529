"""How long a part that died waits."""

from cli.restarts import Restarts


def test_the_wait_doubles_from_one_second_to_thirty() -> None:
    restarts, waits = Restarts(), []
    for _ in range(8):
        restarts = restarts.after_death(lived_seconds=0.1)
        waits.append(restarts.delay_seconds)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_minute_of_health_makes_up_for_all_deaths_before() -> None:
    tired = Restarts(deaths=9)
    assert tired.after_death(lived_seconds=59.9).delay_seconds == 30
    assert tired.after_death(lived_seconds=60).delay_seconds == 1

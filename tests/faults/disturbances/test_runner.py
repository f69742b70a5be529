"""A trial that fails is followed by the next one; an order to stop is not."""

from collections.abc import Callable

import pytest

from tests.faults.disturbances.runner import stop_behind


def caught(act: Callable[[], None]) -> BaseException:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - an order to stop as well
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("order", [SystemExit("stop"), KeyboardInterrupt()])
def test_an_order_to_stop_counts_although_what_tidies_up_fails(order: BaseException) -> None:
    def stopped_in_the_middle() -> None:
        try:
            raise order
        finally:
            raise AssertionError("the tasks cannot be removed")

    assert stop_behind(caught(stopped_in_the_middle)) is order


def test_what_merely_fails_is_no_order_to_stop() -> None:
    def failing() -> None:
        try:
            raise OSError("no answer")
        finally:
            raise AssertionError("the tasks cannot be removed")

    assert stop_behind(caught(failing)) is None

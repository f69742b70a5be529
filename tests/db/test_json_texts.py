"""Numbers come back from a document as every part of the system can carry them."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.json_texts import LARGEST, SMALLEST, read_json

NUMBERS = st.integers(min_value=SMALLEST, max_value=LARGEST) | st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS)
def test_a_number_that_is_carried_comes_back(number: float) -> None:
    assert read_json(json.dumps({"a": [number]})) == {"a": [number]}


@given(st.floats(min_value=1e20, allow_nan=False, allow_infinity=False))
def test_a_large_number_comes_back_as_it_was_also_when_all_its_digits_are_written(number: float) -> None:
    found = read_json(str(int(Decimal(repr(number)))))
    assert isinstance(found, float)
    assert found == number


@given(st.integers(min_value=2**64, max_value=10**300).map(lambda number: number | 1))
def test_an_integer_that_is_too_large_stays_what_it_is_and_is_made_no_other_one(number: int) -> None:
    assert read_json(str(number)) == number
    assert isinstance(read_json(str(number)), int)


@pytest.mark.parametrize("digits", [400, 5_000, 100_000])
def test_what_has_more_digits_than_any_number_is_too_large_and_can_be_told(digits: int) -> None:
    found = read_json("9" * digits)
    assert found > LARGEST
    assert json.dumps(found, allow_nan=False)

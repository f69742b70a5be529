"""Numbers come back from a document as every part of the system can carry them."""

import json
from math import isfinite

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
    found = read_json(str(int(number)))
    assert isinstance(found, float)
    assert found == number


@pytest.mark.parametrize("digits", [400, 5_000, 100_000])
def test_what_has_more_digits_than_any_number_is_no_error_of_reading(digits: int) -> None:
    assert not isfinite(read_json("9" * digits))

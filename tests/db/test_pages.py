"""Cursors: whatever comes in, they are ours or they are refused."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import BadCursor
from db.pages import decode_cursor, encode_cursor

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
KEYS = st.lists(st.text().filter(str.isprintable), min_size=1, max_size=3)


def read(cursor: str, *, keys: int = 2) -> list[str] | None:
    """What it holds; None where it is refused."""
    try:
        return decode_cursor(cursor, keys=keys)
    except BadCursor:
        return None


@given(KEYS)
def test_a_cursor_holds_what_it_was_given_in_characters_that_a_url_can_carry(keys: list[str]) -> None:
    cursor = encode_cursor(*keys)
    assert decode_cursor(cursor, keys=len(keys)) == keys
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in cursor)
    assert read(cursor, keys=len(keys) + 1) is None


@given(st.text())
def test_text_that_is_no_cursor_is_refused_and_nothing_else_is_raised(text: str) -> None:
    found = read(text)
    assert found is None or (len(found) == 2 and all(isinstance(key, str) for key in found))


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_bytes_that_are_no_cursor_are_refused_and_nothing_else_is_raised(content: bytes) -> None:
    found = read(base64.urlsafe_b64encode(content).decode())
    assert found is None or all(key.isprintable() for key in found)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "9" * 10_000, '["a\\u0000", "b"]', '["\\ud800", "b"]', '["a", 1]', "{}", ""]
)
def test_what_somebody_made_up_is_refused(content: Any) -> None:
    with pytest.raises(BadCursor, match="not one of ours"):
        decode_cursor(base64.urlsafe_b64encode(content.encode()).decode(), keys=2)

"""The output of a run goes to a page in messages of a bounded size."""

import json
from datetime import UTC, datetime
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from dashboard.output import FIRST_LINES, MESSAGE_CHARACTERS, as_messages
from db.logs import MAX_LINE
from db.states import Level, Stream
from db.tables import RunLog

AT = datetime(2026, 11, 30, tzinfo=UTC)


def lines(lengths: list[int]) -> list[RunLog]:
    given = {"run_id": uuid4(), "at": AT, "level": Level.INFO, "stream": Stream.STDOUT}
    return [RunLog(id=number, message="x" * length, **given) for number, length in enumerate(lengths, start=1)]


@given(st.lists(st.integers(0, MAX_LINE), max_size=60), st.booleans())
def test_each_line_is_in_one_message_and_none_is_long(lengths: list[int], is_first: bool) -> None:
    found = [json.loads(text) for text in as_messages(lines(lengths), is_first=is_first)]
    sent = [(row[0], len(row[4])) for message in found for row in message["lines"]]
    assert sent == list(enumerate(lengths, start=1))
    assert all(sum(len(row[4]) for row in message["lines"]) <= MESSAGE_CHARACTERS + MAX_LINE for message in found)
    assert [message.get("older") for message in found] == [False if is_first else None, *[None] * 60][: len(found)]


def test_the_first_message_says_that_there_may_be_older_lines() -> None:
    first, *others = [json.loads(text) for text in as_messages(lines([100] * FIRST_LINES), is_first=True)]
    assert first["older"] is True
    assert others
    assert not any("older" in message for message in others)

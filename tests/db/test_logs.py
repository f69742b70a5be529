"""What runs print: every line, in its order, whatever is in it."""

from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from db import logs
from db.logs import CUT, MAX_LINE, Line
from db.states import Level, Stream
from db.texts import fit
from tests.db.conftest import NOW, seconds

RUN = UUID(int=1)


def a_line(message: str, run_id: UUID = RUN, *, at: float = 0) -> Line:
    return Line(run_id, NOW + seconds(at), Level.INFO, Stream.STDOUT, message)


def written(session: Session, run_id: UUID = RUN) -> list[str]:
    return [line.message for line in logs.list_lines(session, run_id)]


def test_lines_are_read_as_they_were_written(session: Session) -> None:
    line = Line(RUN, NOW, Level.ERROR, Stream.STDERR, "tab\tand \\N and \\. and \"quotes\" and 'quotes'\r")
    logs.append(session, [line, a_line(""), a_line("\\.")])
    first, *rest = logs.list_lines(session, RUN)
    assert (first.at, first.level, first.stream, first.message) == (NOW, "error", "stderr", line.message)
    assert [line.message for line in rest] == ["", "\\."]


def test_lines_keep_their_order_whatever_their_times_say(session: Session) -> None:
    logs.append(session, [a_line("a", at=9), a_line("b", at=-9)])
    logs.append(session, [a_line("c"), a_line("another run's", uuid4()), a_line("d", at=-40 * 24 * 3600)])
    assert written(session) == ["a", "b", "c", "d"]


def test_reading_goes_on_after_a_line(session: Session) -> None:
    logs.append(session, [a_line(str(number)) for number in range(10)])
    found: list[str] = []
    after = 0
    while lines := logs.list_lines(session, RUN, after=after, limit=4):
        assert len(lines) <= 4
        found += [line.message for line in lines]
        assert len(found) <= 10
        after = lines[-1].id
    assert found == [str(number) for number in range(10)]
    assert logs.list_lines(session, RUN, after=2**63 - 1) == []


def test_the_end_of_a_log_is_read_oldest_first(session: Session) -> None:
    logs.append(session, [a_line(str(number)) for number in range(10)])
    assert [line.message for line in logs.last_lines(session, RUN, limit=3)] == ["7", "8", "9"]
    assert logs.last_lines(session, uuid4()) == []


def test_a_huge_line_is_cut_and_says_so() -> None:
    assert fit("x" * MAX_LINE) == "x" * MAX_LINE
    cut = fit("x" * 10_000_000, cut=CUT)
    assert cut.startswith("x" * MAX_LINE)
    assert cut.endswith("(line cut)")
    assert len(cut) < MAX_LINE + 20


@pytest.mark.parametrize(("message", "kept"), [("a\0b", "a\ufffdb"), ("a\ud800b", "a?b"), ("ä€😀", "ä€😀")])
def test_what_postgresql_cannot_hold_is_replaced(session: Session, message: str, kept: str) -> None:
    logs.append(session, [a_line(message)])
    assert written(session) == [kept]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=40), max_size=8))
def test_whatever_is_printed_is_written(session: Session, messages: list[str]) -> None:
    run_id = uuid4()
    logs.append(session, [a_line(message, run_id) for message in messages])
    assert written(session, run_id) == [fit(message) for message in messages]


def test_lines_of_many_runs_are_written_at_once(session: Session) -> None:
    """A notification has less than 8,000 bytes: it cannot name a thousand runs."""
    runs = [uuid4() for _ in range(1000)]
    logs.append(session, [a_line("hello", run_id) for run_id in runs])
    assert written(session, runs[-1]) == ["hello"]

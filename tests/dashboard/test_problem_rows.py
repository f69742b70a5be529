"""Problems with one cause stand together."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from dashboard import problem_rows
from dashboard.problem_rows import by_cause, cause, groups, row
from db.problems import Problem
from db.states import Mark, ProblemKind
from db.tables import ProblemMark

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def problem(said: str, *, ago: int = 0, name: str = "backup", mark: ProblemMark | None = None) -> Problem:
    at = NOW - timedelta(minutes=ago)
    return Problem(ProblemKind.FAILING, uuid4(), name, at, at, 1, said, mark=mark)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Timeout after 31.4 s", "Timeout after 7 s"),
        ("No run 6f9619ff-8b86-4011-b42d-00c04fc964ff", "No run 01234567-8b86-4011-b42d-00c04fc964ff"),
        ("at commit deadbeef1", "at commit 0123456"),
    ],
)
def test_what_differs_in_numbers_and_names_only_is_one_cause(one: str, other: str) -> None:
    assert cause(problem(one)) == cause(problem(other))


@pytest.mark.parametrize(("one", "other"), [("exit code 1.", "exit code 2."), ("HTTP 503", "HTTP 404"), ("a", "b")])
def test_codes_and_words_make_other_causes(one: str, other: str) -> None:
    assert cause(problem(one)) != cause(problem(other))


def test_the_cause_of_most_tasks_comes_first_and_then_the_newest() -> None:
    found = by_cause([problem("a", ago=9), problem("b", ago=2), problem("b", ago=8), problem("c", ago=1)])
    assert list(found) == ["b", "c", "a"]
    first = groups([problem("b 1", name="x"), problem("b 2", name="y")], zone="UTC")[0]
    assert first["name"]["sub"] == "x and 1 more"
    assert first["tasks"] == "2 tasks"


def test_a_marked_problem_says_by_whom_and_can_be_reopened_only() -> None:
    until = NOW + timedelta(hours=1)
    mark = ProblemMark(key="k", mark=Mark.SNOOZED, marked_at=NOW, until=until, actor="anna")
    shown = row(problem("x", mark=mark), zone="UTC")
    assert shown["marked"] == "Snoozed by anna until Wed 25 Nov 2026, 13:00:00 UTC"
    assert shown["actions"] == [problem_rows.REOPEN]
    assert len(row(problem("x"), zone="UTC")["actions"]) == 3

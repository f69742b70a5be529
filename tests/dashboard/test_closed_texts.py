"""A calendar as lines of text, read and written."""

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import closed_texts
from db.closures import Dates, Weekday, Weekly
from tests.db.test_closures import entries


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("2026-12-24", Dates(first=date(2026, 12, 24))),
        ("2026-12-24 Christmas Eve", Dates(first=date(2026, 12, 24), name="Christmas Eve")),
        ("2026-12-24 to 2026-12-26", Dates(first=date(2026, 12, 24), last=date(2026, 12, 26))),
        (
            "2026-12-24 14:00 to 2026-12-26 06:30 Freeze",
            Dates(first=date(2026, 12, 24), last=date(2026, 12, 26), begins=time(14), ends=time(6, 30), name="Freeze"),
        ),
        ("2026-12-24 14:00 to 18:00", Dates(first=date(2026, 12, 24), begins=time(14), ends=time(18))),
        ("every year 12-25 Day off", Dates(first=date(2000, 12, 25), yearly=True, name="Day off")),
        ("every year 12-24 to 01-01", Dates(first=date(2000, 12, 24), last=date(2001, 1, 1), yearly=True)),
        ("every sat, sun Weekend", Weekly(days=(Weekday.SAT, Weekday.SUN), name="Weekend")),
        ("every sun 22:00 to 04:00", Weekly(days=(Weekday.SUN,), begins=time(22), ends=time(4))),
    ],
)
def test_a_line_is_an_entry(line: str, entry: Dates | Weekly) -> None:
    assert closed_texts.read(f"\n  {line} \n") == (entry,)
    assert closed_texts.write([entry]) == line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Christmas", "Line 1 cannot be read"),
        ("2026-12-24\n\n2026-02-30", "Line 3: there is no such day or time."),
        ("12-24", "Line 1: there is no such day"),
        ("every year 2026-12-24", "Line 1: there is no such day"),
        ("2026-12-26 to 2026-12-24", "Line 1: It must end after it begins"),
        ("every sun 25:00 to 26:00", "Line 1: there is no such day or time."),
        ("every someday", "Line 1 cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        closed_texts.read(text)


@given(st.lists(entries(), max_size=5))
def test_what_was_written_is_read(found: list[Dates | Weekly]) -> None:
    as_lines = [
        each.model_copy(update={"days": tuple(day for day in Weekday if day in each.days)})
        if isinstance(each, Weekly)
        else each.model_copy(
            update={
                "last": each.last if each.last != each.first else None,
                **(_in_leap_year(each) if each.yearly else {}),
            }
        )
        for each in found
        if not (isinstance(each, Dates) and each.yearly and (each.first.month, each.first.day) == (2, 29))
        and not (isinstance(each, Dates) and each.yearly and each.last and (each.last.month, each.last.day) == (2, 29))
    ]
    text = closed_texts.write(as_lines)
    assert closed_texts.write(closed_texts.read(text)) == text
    assert [each for each in closed_texts.read(text) if not (isinstance(each, Dates) and each.yearly)] == [
        each for each in as_lines if not (isinstance(each, Dates) and each.yearly)
    ]


def _in_leap_year(each: Dates) -> dict[str, date]:
    return {"first": each.first}

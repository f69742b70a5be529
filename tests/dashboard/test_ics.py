"""Calendars out of iCalendar files."""

from datetime import date, time
from time import thread_time

import pytest

from dashboard import ics
from db.closures import Dates, Weekday, Weekly

TODAY = date(2026, 11, 28)


def a_file(*events: str) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:{number}@test", "DTSTAMP:20260101T000000Z", *event.split("\n"), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


def the_entries(*events: str) -> list[Dates | Weekly]:
    found = ics.read(a_file(*events), today=TODAY)
    assert found.left_out == []
    return list(found.entries)


@pytest.mark.parametrize(
    ("event", "entry"),
    [
        ("DTSTART;VALUE=DATE:20261225\nSUMMARY:Christmas", Dates(first=date(2026, 12, 25), name="Christmas")),
        (
            "DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261227\nSUMMARY:Christmas\\, both days",
            Dates(first=date(2026, 12, 25), last=date(2026, 12, 26), name="Christmas, both days"),
        ),
        (
            "DTSTART;VALUE=DATE:20200501\nDTEND;VALUE=DATE:20200502\nRRULE:FREQ=YEARLY\nSUMMARY:May Day",
            Dates(first=date(2020, 5, 1), yearly=True, name="May Day"),
        ),
        (
            "DTSTART;TZID=Europe/Berlin:20261204T220000\nDTEND;TZID=Europe/Berlin:20261205T040000\nSUMMARY:Move",
            Dates(first=date(2026, 12, 4), last=date(2026, 12, 5), begins=time(22), ends=time(4), name="Move"),
        ),
        (
            "DTSTART:20261129T220000\nDTEND:20261130T040000\nRRULE:FREQ=WEEKLY;BYDAY=SU\nSUMMARY:Maintenance",
            Weekly(days=(Weekday.SUN,), begins=time(22), ends=time(4), name="Maintenance"),
        ),
        (
            "DTSTART;VALUE=DATE:20261128\nDTEND;VALUE=DATE:20261129\nRRULE:FREQ=WEEKLY;BYDAY=SA,SU\nSUMMARY:Weekend",
            Weekly(days=(Weekday.SAT, Weekday.SUN), name="Weekend"),
        ),
    ],
)
def test_an_event_is_an_entry(event: str, entry: Dates | Weekly) -> None:
    assert the_entries(event) == [entry]


def test_a_rule_of_another_kind_is_taken_for_five_years() -> None:
    found = the_entries("DTSTART;VALUE=DATE:20200525\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO\nSUMMARY:Memorial Day")
    assert [each.first for each in found if isinstance(each, Dates)] == [
        date(2027, 5, 31),
        date(2028, 5, 29),
        date(2029, 5, 28),
        date(2030, 5, 27),
        date(2031, 5, 26),
    ]


def test_what_is_not_understood_is_said() -> None:
    found = ics.read(
        a_file(
            "DTSTART;VALUE=DATE:20261225\nSUMMARY:Good",
            "DTSTART:20261225T100000\nDTEND:20261225T100000\nSUMMARY:No length",
            "DTSTART;VALUE=DATE:20261225\nRRULE:FREQ=DAILY\nSUMMARY:Every day",
            "SUMMARY:No start",
        ),
        today=TODAY,
    )
    assert [each.name for each in found.entries] == ["Good"]
    assert [sentence.partition(":")[0] for sentence in found.left_out] == ["No length", "Every day", "No start"]


@pytest.mark.parametrize("text", ["", "no calendar", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "\0", "BEGIN:VEVENT"])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(ics.NotACalendar):
        ics.read(text, today=TODAY)


@pytest.mark.parametrize(
    "rule", ["FREQ=SECONDLY", "FREQ=WEEKLY;BYHOUR=0,1,2,3;BYSECOND=1,2,3", "FREQ=MINUTELY;INTERVAL=1"]
)
def test_a_rule_that_repeats_without_end_takes_no_time(rule: str) -> None:
    began = thread_time()
    found = ics.read(
        a_file(*[f"DTSTART:19900101T000000\nDTEND:19900101T000001\nRRULE:{rule}\nSUMMARY:x"] * 300), today=TODAY
    )
    assert found.entries == ()
    assert len(found.left_out) == 300
    assert thread_time() - began < 10

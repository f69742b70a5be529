"""The form shows a task as it is and gives back the very same task; what is wrong is said at its field."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.forms import field_at, fields_of, new_document, problems, read
from db.specs import InvalidTask, as_document
from tests.dashboard.task_documents import ZONES, documents, example

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def form(document: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    filled = {"name": "backup", "command": "pg_dump shop"} if document is None else {}
    return {**fields_of(document or new_document("Europe/Berlin"), zone="Europe/Berlin", now=NOW), **filled, **changes}


def wrong(**changes: Any) -> dict[str, str]:
    with pytest.raises(InvalidTask) as caught:
        read(form(**changes))
    return problems(caught.value)


def written(**changes: Any) -> dict[str, Any]:
    return as_document(read(form(**changes)))


@given(documents(), st.sampled_from(ZONES))
def test_a_task_that_is_opened_and_saved_is_the_same(document: dict[str, Any], zone: str) -> None:
    assert as_document(read(fields_of(document, zone=zone, now=NOW), base=document)) == document


@given(documents(), st.sampled_from(ZONES))
def test_a_copy_is_the_same_but_for_spaces_around_headers_and_what_the_form_does_not_show(
    document: dict[str, Any], zone: str
) -> None:
    copied = as_document(read(fields_of(document, zone=zone, now=NOW)))
    headers = {name: value.strip() for name, value in document["action"].get("headers", {}).items()}
    action = {**document["action"], **({"headers": headers} if headers else {})}
    assert copied == {**document, "action": action, "paused": False}


@given(documents(), st.sampled_from(ZONES))
def test_changing_one_field_changes_nothing_else(document: dict[str, Any], zone: str) -> None:
    fields = {**fields_of(document, zone=zone, now=NOW), "name": "another"}
    assert as_document(read(fields, base=document)) == {**document, "name": "another"}


@given(documents())
def test_changing_the_kind_there_and_back_loses_nothing(document: dict[str, Any]) -> None:
    fields = fields_of(document, zone="UTC", now=NOW)
    fields |= {"kind": "python", "callable": fields["callable"] or "a.b:c"}
    other = read(fields, base=document)
    assert other.name == document["name"]
    assert other.kind == "python"
    fields["kind"] = document["kind"]
    if document["kind"] != "python":
        assert as_document(read(fields, base=document)) == document


def test_an_empty_form_asks_for_a_name_and_a_command() -> None:
    fields = fields_of(new_document("Europe/Berlin"), zone="Europe/Berlin", now=NOW)
    with pytest.raises(InvalidTask) as caught:
        read(fields)
    assert problems(caught.value) == {
        "name": "Give the task a name.",
        "command": "Write the command that is to be run.",
    }


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"name": " "}, "name", "Give the task a name."),
        ({"name": "a\tb"}, "name", "Use printable characters only: no line breaks or control characters."),
        ({"name": "x" * 201}, "name", "String should have at most 200 characters."),
        ({"env": "A=1\nB"}, "env", "Line 2 has no equals sign. Write NAME=value."),
        ({"env": "A=1\nA=2"}, "env", "Line 2 gives A a second time."),
        ({"env": 'A="x'}, "env", 'Line 1 has quotes that do not match. Write NAME="value", or no quotes.'),
        ({"env": "1A=x"}, "env", "'1A' is not a variable name. Use letters, digits and _."),
        ({"success_exit_codes": "0, x"}, "success_exit_codes", "Write numbers from 0 to 255, such as 0, 3."),
        ({"success_exit_codes": "999"}, "success_exit_codes", "Input should be less than or equal to 255."),
        ({"kind": "http"}, "url", "Write the address that is to be called."),
        ({"kind": "http", "url": "ftp://x"}, "url", "Must be a URL that starts with http:// or https://."),
        ({"kind": "http", "url": "http://x", "headers": "A"}, "headers", "Line 1 has no colon. Write Name: value."),
        ({"kind": "http", "url": "http://x", "headers": "A b: c"}, "headers", "'A b' is not a valid header."),
        (
            {"kind": "http", "url": "http://x", "body_kind": "json", "body": "{"},
            "body",
            "Must be valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1).",
        ),
        (
            {"kind": "http", "url": "http://x", "expect_status": "ok"},
            "expect_status",
            "Use codes or classes, such as 2xx or 200,204.",
        ),
        ({"kind": "python"}, "callable", "Name the function, as package.module:name."),
        ({"kind": "python", "callable": "a.b"}, "callable", "Write it as package.module:name."),
        (
            {"kind": "python", "callable": "a:b", "kwargs": "[1]"},
            "kwargs",
            'Must be a JSON object, such as {"day": "today"}.',
        ),
        ({"kind": "python", "callable": "a:b", "kwargs": '{"a": 1, "a": 2}'}, "kwargs", "a: Must not be given twice."),
        (
            {"kind": "python", "callable": "a:b", "kwargs": '{"a": NaN}'},
            "kwargs",
            "Must be valid JSON: NaN is no JSON number.",
        ),
        ({"kind": "flow"}, "entrypoint", "Name the flow, as package.module:name."),
        ({"cron": "0 0 31 2 *"}, "cron", "This expression never fires: no calendar has such a day."),
        ({"schedule_kind": "once", "once_date": None}, "once_time", "Choose a day."),
        ({"schedule_kind": "once", "once_time": "25:00"}, "once_time", "Write the time as 10:00 or 10:00:30."),
        ({"starts_at": "soon"}, "starts_at", "Write it as 2026-12-01 10:00."),
        ({"starts_at": "2026-12-02", "ends_at": "2026-12-01"}, "ends_at", "ends_at must be later than starts_at."),
        ({"retries": None}, "retries", "Say how many, 0 for none."),
        ({"work_pool": ""}, "work_pool", "Name the work pool; without one of your own it is default."),
        ({"tags": ["ok", "a\nb"]}, "tags", "Use printable characters only: no line breaks or control characters."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(changes: dict[str, Any], field: str, message: str) -> None:
    assert wrong(**changes) == {field: message}


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert list(wrong(name="", env="x", cron="61 * * * *", starts_at="soon")) == ["env", "starts_at", "name", "cron"]


@pytest.mark.parametrize("path", ["action.env.A", "action.env"])
def test_an_error_below_a_field_belongs_to_the_field(path: str) -> None:
    assert field_at(path) == "env"


def test_lines_become_variables_with_spaces_and_quotes_as_people_write_them() -> None:
    action = written(env='A=1\n\n B = two words \nC="kept  \\n as JSON"\nD=x="y"')["action"]
    assert action["env"] == {"A": "1", "B": "two words", "C": "kept  \n as JSON", "D": 'x="y"'}


def test_headers_keep_their_colons_and_quotes() -> None:
    action = written(kind="http", url="http://x", headers='If-Match: "3"\nX-At:10:30')["action"]
    assert action["headers"] == {"If-Match": '"3"', "X-At": "10:30"}


@pytest.mark.parametrize(
    ("day", "clock", "which", "instant"),
    [
        (date(2026, 12, 1), "10:00", "first", "2026-12-01T09:00:00Z"),
        (date(2026, 12, 1), "9:30:05.25", "first", "2026-12-01T08:30:05.250000Z"),
        (date(2027, 3, 28), "02:30", "first", "2027-03-28T01:00:00Z"),  # jumped over: at 03:00
        (date(2027, 10, 31), "02:30", "first", "2027-10-31T00:30:00Z"),
        (date(2027, 10, 31), "02:30", "second", "2027-10-31T01:30:00Z"),
        (date(2027, 7, 1), "02:30", "second", "2027-07-01T00:30:00Z"),  # a choice that was made for another day
    ],
)
def test_a_day_and_a_time_in_a_zone_are_an_instant(day: date, clock: str, which: str, instant: str) -> None:
    changes = {"schedule_kind": "once", "once_date": day, "once_time": clock, "once_pass": which}
    assert written(**changes)["schedule"]["at"] == instant


def test_bounds_are_read_in_the_zone_of_the_task_unless_they_say_another() -> None:
    task = written(starts_at="2026-12-01 10:00", ends_at="2026-12-01T10:00:00Z")
    assert (task["starts_at"], task["ends_at"]) == ("2026-12-01T09:00:00Z", "2026-12-01T10:00:00Z")


def test_what_the_form_does_not_show_stays() -> None:
    base = example("flow", paused=True)
    fields = {**fields_of(base, zone="UTC", now=NOW), "description": "changed"}
    assert as_document(read(fields, base=base))["paused"] is True

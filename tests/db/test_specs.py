"""What a task may be: every limit at its boundary, errors at the field that a client knows, and no other exceptions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.specs import InvalidTask, as_document, check_against_clock, field_path, parse_task, task_key
from db.states import Backoff, Misfire, OnCrash, Overlap
from tests.db.conftest import DAILY, MANUAL, a_task, document, once, refusal

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def errors(sent: Any) -> dict[str, str]:
    """What is said about each field of a refused task."""
    with pytest.raises(InvalidTask) as refused:
        parse_task(sent)
    return {error.field: error.message for error in refused.value.errors}


def test_the_defaults_are_those_of_the_contract() -> None:
    assert as_document(parse_task(document(schedule=DAILY))) == {
        "name": "backup",
        "description": "",
        "tags": [],
        "kind": "shell",
        "action": {"command": "true", "env": {}, "cwd": None, "success_exit_codes": [0]},
        "schedule": DAILY,
        "starts_at": None,
        "ends_at": None,
        "overlap": "skip",
        "misfire": "latest",
        "max_lateness_seconds": None,
        "on_crash": "fail",
        "retries": 0,
        "retry_delay_seconds": 10,
        "retry_backoff": "constant",
        "timeout_seconds": 3600,
        "work_pool": "default",
        "after": [],
        "paused": False,
    }


YEAR, WEEK = 366 * 24 * 3600, 7 * 24 * 3600


@pytest.mark.parametrize(
    ("field", "accepted", "refused"),
    [
        (
            "name",
            ["a", "a" * 200, "ä" * 200, "\U0001f600"],
            ["", "a" * 201, " ", "a\nb", "a\0b", "a\u202eb", "\ud800", 7],
        ),
        ("description", ["", "d" * 5000, "two\nlines"], ["d" * 5001, "\0", "\udfff", None]),
        ("tags", [[], ["a"] * 50, ["t" * 100], [f"t{i}" for i in range(50)]], [[f"t{i}" for i in range(51)], "ops"]),
        ("overlap", [*Overlap], ["never", None, ""]),
        ("misfire", [*Misfire], ["never"]),
        ("on_crash", [*OnCrash], ["never"]),
        ("retry_backoff", [*Backoff], ["linear"]),
        ("max_lateness_seconds", [None, 0, YEAR], [-1, YEAR + 1, 1.5, "soon"]),
        ("retries", [0, 100], [-1, 101, None, 0.5]),
        ("retry_delay_seconds", [0, WEEK], [-1, WEEK + 1]),
        ("timeout_seconds", [None, 1, YEAR], [0, YEAR + 1]),
        ("work_pool", ["default", "p" * 200], ["", "p" * 201, "a\tb"]),
        ("paused", [True, False], [None, "perhaps"]),
        (
            "starts_at",
            [None, "1971-01-01T00:00:00Z", "9000-12-31T00:00:00Z"],
            ["2026-01-01T10:00:00", "1970-12-31T00:00:00Z"],
        ),
        ("ends_at", [None, "2026-12-01T10:00:00+01:00"], ["soon", "9001-01-01T00:00:00Z"]),
    ],
)
def test_each_field_is_accepted_up_to_its_limit_and_refused_beyond(
    field: str, accepted: list[Any], refused: list[Any]
) -> None:
    for value in accepted:
        parse_task(document(**{field: value}))
    for value in refused:
        assert list(errors(document(**{field: value}))) == [field], value


@pytest.mark.parametrize("tag", ["", " ", "t" * 101, "a\nb", 7])
def test_a_bad_tag_is_named_by_its_place(tag: Any) -> None:
    assert list(errors(document(tags=["ops", tag]))) == ["tags.1"]


def test_names_are_stripped_and_tags_are_a_set_in_order() -> None:
    task = a_task(name="  nightly  ", tags=["web", "ops", " ops "])
    assert (task.name, task.tags) == ("nightly", ["ops", "web"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schedule": {"kind": "cron", "cron": "61 * * * *"}}, "schedule.cron"),
        ({"schedule": {"kind": "cron", "cron": "0 0 31 2 *"}}, "schedule.cron"),
        ({"schedule": {"kind": "cron", "cron": "*" * 201}}, "schedule.cron"),
        ({"schedule": {"kind": "cron"}}, "schedule.cron"),
        ({"schedule": {"kind": "cron", "cron": "* * * * *", "timezone": "Mars"}}, "schedule.timezone"),
        ({"schedule": {"kind": "cron", "cron": "* * * * *", "at": 1}}, "schedule.at"),
        ({"schedule": {"kind": "once", "at": "tomorrow"}}, "schedule.at"),
        ({"schedule": {"kind": "once", "at": "2026-01-01T00:00:00"}}, "schedule.at"),
        ({"schedule": {"kind": "once", "at": "2026-01-01T00:00:00Z", "cron": "* * * * *"}}, "schedule.cron"),
        ({"schedule": {"kind": "manual", "cron": "* * * * *"}}, "schedule.cron"),
        ({"schedule": {"kind": "weekly"}}, "schedule.kind"),
        ({"schedule": {}}, "schedule.kind"),
        ({"schedule": None}, "schedule"),
        ({"action": {"command": ""}}, "action.command"),
        ({"action": {"command": "true", "env": {"1X": "y"}}}, "action.env"),
        ({"action": {"command": "true", "env": {"X": 1}}}, "action.env.X"),
        ({"action": {"command": "true", "success_exit_codes": [0, 256]}}, "action.success_exit_codes.1"),
        ({"action": {"command": "true", "body": "x"}}, "action.body"),
        ({"action": None}, "action"),
        ({"kind": "http", "action": {"url": "https://x.example", "body": "\0"}}, "action.body"),
        ({"kind": "http", "action": {"url": "https://x.example", "json": {"a": "\0"}}}, "action.json"),
        ({"kind": "http", "action": {"url": "ftp://x.example"}}, "action.url"),
        ({"kind": "python", "action": {"callable": "module"}}, "action.callable"),
        ({"kind": "flow", "action": {"entrypoint": "m:f", "parameters": []}}, "action.parameters"),
        ({"kind": "magic"}, "kind"),
        ({"shell": "x"}, "shell"),
        ({"body": "x"}, "body"),
        ({"id": "x"}, "id"),
        ({"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-02-01T00:00:00Z"}, "body"),
    ],
)
def test_an_error_is_at_the_field_that_the_client_sent(changes: dict[str, Any], field: str) -> None:
    assert list(errors(document(**changes))) == [field]


def test_a_task_without_a_kind_or_that_is_no_object_is_told_what_is_missing() -> None:
    assert errors({"name": "x"}) == {"kind": "Say which kind: shell, http, python or flow."}
    for sent in (None, 1, "task", [], [document()]):
        assert len(errors(sent)) == 1


def test_every_wrong_field_is_told_at_once_in_sentences() -> None:
    found = errors(document(name="", retries=-1, action={}, schedule={"kind": "cron", "cron": "x"}))
    assert set(found) == {"name", "retries", "action.command", "schedule.cron"}
    assert all(message.endswith(".") for message in found.values())


def test_the_place_where_a_task_was_sent_is_not_part_of_the_path() -> None:
    assert field_path(("body", "http", "action", "body")) == "action.body"
    assert field_path(("body", "shell", "schedule", "cron", "cron")) == "schedule.cron"
    assert field_path(("body",)) == ""


def test_what_can_never_be_due_is_refused_by_the_clock() -> None:
    soon, day = NOW + timedelta(hours=2), timedelta(days=1)
    never: list[tuple[dict[str, Any], str]] = [
        ({"schedule": once(NOW)}, "schedule.at"),
        ({"schedule": once(NOW - day)}, "schedule.at"),
        ({"ends_at": NOW.isoformat()}, "ends_at"),
        ({"schedule": DAILY, "ends_at": (NOW + timedelta(minutes=59)).isoformat()}, "ends_at"),
        ({"schedule": once(soon), "starts_at": (soon + day).isoformat()}, "starts_at"),
        ({"schedule": once(soon), "ends_at": (soon - timedelta(seconds=1)).isoformat()}, "ends_at"),
    ]
    for changes, field in never:
        with pytest.raises(InvalidTask) as refused:
            check_against_clock(a_task(**changes), now=NOW)
        assert [error.field for error in refused.value.errors] == [field], changes


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": once(NOW + timedelta(microseconds=1))},
        {"schedule": once(NOW - timedelta(days=1), run_if_past=True)},
        {"schedule": DAILY, "ends_at": (NOW + timedelta(minutes=60)).isoformat()},
        {"schedule": DAILY, "starts_at": "8999-01-01T00:00:00Z"},
        {"schedule": MANUAL},
        {"schedule": MANUAL, "starts_at": (NOW + timedelta(days=1)).isoformat()},
    ],
)
def test_what_is_due_at_least_once_passes_the_clock(changes: dict[str, Any]) -> None:
    check_against_clock(a_task(**changes), now=NOW)


def test_a_due_time_has_one_name_whatever_the_zone_it_is_written_in() -> None:
    task_id = document()["name"]
    berlin = datetime.fromisoformat("2026-05-01T14:00:00+02:00")
    assert task_key(task_id, berlin) == task_key(task_id, NOW) == "backup/2026-05-01T12:00:00+00:00"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["shell", "http", "python", "flow", "magic", None])
FIELDS = [*document(), "description", "tags", "starts_at", "ends_at", "overlap", "retries", "timeout_seconds", "paused"]
SCHEDULE_WORDS = ["kind", "cron", "timezone", "at", "run_if_past"]
ACTION_WORDS = ["command", "env", "cwd", "url", "headers", "body", "json", "callable", "kwargs", "entrypoint"]
ALMOST_TASKS = st.builds(
    lambda kind, changed, schedule, action: document(kind=kind, schedule=schedule, action=action) | changed,
    KINDS,
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=2),
    st.dictionaries(st.sampled_from(SCHEDULE_WORDS), st.sampled_from(["cron", "once", "* * * * *"]) | JSON),
    st.dictionaries(st.sampled_from(ACTION_WORDS), st.sampled_from(["true", "m:f", "http://x"]) | JSON),
)


@given(JSON | ALMOST_TASKS)
def test_whatever_json_is_sent_is_a_task_or_an_invalid_task(sent: Any) -> None:
    said = refusal(sent)
    assert all(error.field and error.message for error in said)
    if not said:
        task = parse_task(sent)
        assert parse_task(as_document(task)) == task


@pytest.mark.parametrize("depth", [50, 300, 3000, 100_000])
def test_json_that_is_nested_deeply_is_refused_where_it_is_too_deep(depth: int) -> None:
    nested: Any = 0
    for _ in range(depth):
        nested = [nested]
    sent = document(kind="python", action={"callable": "m:f", "kwargs": {"x": nested}})
    said = refusal(sent)
    assert bool(said) == (depth > 200)
    assert all(error.field == "action.kwargs" for error in said)
    while isinstance(nested, list):  # taken apart by hand: freeing it would recurse as deeply
        nested = nested.pop()

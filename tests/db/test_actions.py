"""What the kinds of tasks may do, each limit at its boundary, and what of it survives being written and read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from db.specs import as_document, parse_task
from tests.db.conftest import document, once, refusal

KIB = 1024


def is_accepted(kind: str, action: dict[str, Any]) -> bool:
    said = refusal(document(kind=kind, action=action))
    assert all(error.field.startswith("action") for error in said)
    return not said


@pytest.mark.parametrize(
    ("field", "accepted", "refused"),
    [
        ("command", ["x", "x" * 64 * KIB, "a\nb"], ["", " \n", "x" * (64 * KIB + 1), "a\0", "\ud800", None]),
        (
            "env",
            [{}, {"_A1": ""}, {"A": "v" * 250 * KIB}],
            [{"A": "v" * 256 * KIB}, {"A-B": ""}, {"": ""}, {"A": "\0"}, {"É": ""}, []],
        ),
        ("cwd", [None, "/", "d" * 4096], ["", "d" * 4097, "\0"]),
        ("success_exit_codes", [[0], [0, 255], list(range(256))], [[], [-1], [256], [0] * 257, ["a"], None]),
    ],
)
def test_the_fields_of_a_command(field: str, accepted: list[Any], refused: list[Any]) -> None:
    for value in accepted:
        assert is_accepted("shell", {"command": "true", field: value}), value
    for value in refused:
        assert not is_accepted("shell", {"command": "true", field: value}), value


@pytest.mark.parametrize(
    ("field", "accepted", "refused"),
    [
        ("method", ["GET", "post", "Delete", "OPTIONS"], ["TRACE", "", None, "GET "]),
        (
            "url",
            ["http://x", "https://x.example:8443/a?b=c#d", "http://[::1]/", "http://x/" + "a" * 8183],
            ["", "x", "ftp://x", "file:///etc/passwd", "http://", "http://x/" + "a" * 8184],
        ),
        (
            "headers",
            [{}, {"X-A": "b c"}, {"A": ""}],
            [{"A B": ""}, {"": ""}, {"A": "b\nc"}, {"A": "b\r"}, {"A": "ü"}, {"A:": ""}, {"A": "v" * 256 * KIB}],
        ),
        ("body", [None, "", "b" * 256 * KIB], ["b" * (256 * KIB + 1), "\0", {}]),
        (
            "json",
            [None, [], {"a": [1, 2.5, None, True]}, "x" * (256 * KIB - 2)],
            ["x" * (256 * KIB - 1), float("nan"), {"a": "\0"}, ["\ud800"]],
        ),
        ("expect_status", ["2xx", "200", "200, 2xx,404", "5XX"], ["", "6xx", "99", "20", "2xx,", "200-299"]),
        ("follow_redirects", [True, False], [None, "perhaps"]),
        ("verify_tls", [True, False], [None]),
    ],
)
def test_the_fields_of_a_request(field: str, accepted: list[Any], refused: list[Any]) -> None:
    for value in accepted:
        assert is_accepted("http", {"url": "https://x.example", field: value}), value
    for value in refused:
        assert not is_accepted("http", {"url": "https://x.example", field: value}), value


def test_a_request_has_one_body() -> None:
    assert not is_accepted("http", {"url": "https://x.example", "body": "", "json": {}})


def test_what_a_request_expects_is_folded() -> None:
    task = parse_task(
        document(kind="http", action={"url": "https://x.example", "method": "get", "expect_status": " 2XX, 404"})
    )
    assert (as_document(task)["action"]["method"], as_document(task)["action"]["expect_status"]) == ("GET", "2xx,404")


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("m:f", True),
        ("package.module:Class.method", True),
        ("päckage:f", True),
        ("m:" + "f" * 498, True),
        ("m:" + "f" * 499, False),
        ("m", False),
        (":f", False),
        ("m:", False),
        ("m:f:g", False),
        ("a..b:f", False),
        ("m:f()", False),
        ("m:f\n", False),
        ("1m:f", False),
        ("../m:f", False),
    ],
)
def test_a_function_is_named_as_package_module_and_name(path: str, accepted: bool) -> None:
    assert is_accepted("python", {"callable": path}) is accepted


def test_arguments_are_json_of_at_most_256_kib() -> None:
    room = 256 * KIB - len(json.dumps({"k": ""}))
    for kind, field, action in (
        ("python", "kwargs", {"callable": "m:f"}),
        ("flow", "parameters", {"entrypoint": "m:f"}),
    ):
        assert is_accepted(kind, action | {field: {"k": "x" * room}})
        assert not is_accepted(kind, action | {field: {"k": "x" * (room + 1)}})
        assert not is_accepted(kind, action | {field: {"k": "ä" * (room // 2 + 1)}})
        assert not is_accepted(kind, action | {field: {"k\0": 1}})
        assert not is_accepted(kind, action | {field: {"k": {"deep": ["\0"]}}})
        assert not is_accepted(kind, action | {field: {"k": float("inf")}})
        assert is_accepted(kind, action | {field: {"k": "a backslash before \\u0000 is no NUL"}})
        assert not is_accepted(kind, action | {field: [1]})


# Of printable and odd characters, but no surrogates or NUL, which are refused.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
NAMES = st.text(st.sampled_from("abc äß-_/<>&'\"%\\"), min_size=1, max_size=20).filter(str.strip)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=3)
ACTIONS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "shell": st.fixed_dictionaries(
        {"command": WORDS.filter(str.strip)},
        optional={"env": st.dictionaries(st.sampled_from(["A", "_b1"]), WORDS), "cwd": WORDS.filter(bool)},
    ),
    "http": st.fixed_dictionaries({"url": st.just("https://x.example/")}, optional={"json": JSON}),
    "python": st.fixed_dictionaries({"callable": st.just("m:f")}, optional={"kwargs": OBJECTS}),
    "flow": st.fixed_dictionaries({"entrypoint": st.just("m:f")}, optional={"parameters": OBJECTS}),
}
INSTANTS = st.datetimes(timezones=st.timezones()).filter(lambda at: 1972 < at.year < 9000)


@st.composite
def tasks(draw: DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(ACTIONS)))
    manual: dict[str, Any] = {"kind": "manual"}
    schedules = st.just(manual) | INSTANTS.map(once) | st.just({"kind": "cron", "cron": "@daily"})
    optional = {
        "description": WORDS,
        "tags": st.lists(NAMES, max_size=3),
        "starts_at": INSTANTS.map(lambda at: at.isoformat()),
        "retries": st.integers(0, 100),
        "timeout_seconds": st.none() | st.integers(1, 100),
        "paused": st.booleans(),
    }
    required = {"name": NAMES, "kind": st.just(kind), "action": ACTIONS[kind], "schedule": schedules}
    return draw(st.fixed_dictionaries(required, optional=optional))


@given(tasks())
def test_a_task_read_from_its_document_is_the_same_task(sent: dict[str, Any]) -> None:
    task = parse_task(sent)
    written = json.loads(json.dumps(as_document(task)))
    assert parse_task(written) == task
    assert as_document(parse_task(written)) == written


EDGES = (2**63, 2**64 - 1, -(2**63))
BEYOND = (2**64, -(2**63) - 1, 10**400, float("nan"), float("inf"), float("-inf"), "a\0b", "\udcff")
FREE_JSON = {
    "python": ({"callable": "m:f"}, "kwargs"),
    "flow": ({"entrypoint": "m:f"}, "parameters"),
    "http": ({"url": "http://example.org"}, "json"),
}


def nested(value: object, depth: int) -> object:
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


@pytest.mark.parametrize("kind", FREE_JSON)
@pytest.mark.parametrize("depth", [0, 1, 20])
def test_json_that_some_part_of_the_system_cannot_carry_is_refused_at_any_depth(kind: str, depth: int) -> None:
    action, field = FREE_JSON[kind]
    for edge in EDGES:
        assert is_accepted(kind, action | {field: {"k": nested(edge, depth)}}), edge
    for beyond in BEYOND:
        assert not is_accepted(kind, action | {field: {"k": nested(beyond, depth)}}), beyond


@pytest.mark.parametrize("kind", FREE_JSON)
@pytest.mark.parametrize("name", ["a\0b", "\udcff"])
def test_names_in_json_are_checked_as_texts_are(kind: str, name: str) -> None:
    action, field = FREE_JSON[kind]
    assert not is_accepted(kind, action | {field: {"k": {name: 1}}})


@pytest.mark.parametrize(("depth", "accepted"), [(190, True), (230, False), (5000, False)])
def test_json_may_be_as_deep_as_prefect_writes_it(depth: int, accepted: bool) -> None:
    assert is_accepted("http", {"url": "http://example.org", "json": nested(1, depth)}) is accepted

"""Documents of every kind of task, as strange as db.specs lets them be."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from db.specs import as_document, parse_task
from db.states import Backoff, Misfire, OnCrash, Overlap

ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]
# Around changes of the clock in Berlin, on Lord Howe and in St. John's, and anywhere else.
TURNS = [
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2027, 3, 28, 1, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
]

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
line = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Zs", "Co", "Cn"]), min_size=1, max_size=20
)
awkward = st.sampled_from(
    ['"', '"a"', " a", "a ", "a=b", "#", "two\nlines", "tab\t", "\r\n", "\\", '\\"', "\u2028", "ü", ""]
)
json_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
json_object = st.dictionaries(text, json_value, max_size=3)
instant = st.one_of(
    st.datetimes(datetime(1971, 1, 2), datetime(2999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.builds(lambda turn, minutes: turn + timedelta(minutes=minutes), st.sampled_from(TURNS), st.integers(-150, 150)),
)
header_value = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)

schedule = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("cron"),
            "cron": st.sampled_from(["0 2 * * *", "*/15 * * * *", "@daily", "0 0 1 1 * 30", "5 4 * * sun"]),
            "timezone": st.sampled_from(ZONES),
        }
    ),
    st.fixed_dictionaries({"kind": st.just("once"), "at": instant, "run_if_past": st.booleans()}),
    st.just({"kind": "manual"}),
)
actions = {
    "shell": st.fixed_dictionaries(
        {
            "command": text.filter(str.strip),
            "env": st.dictionaries(
                st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True), text | awkward, max_size=4
            ),
            "cwd": st.none() | st.just("/srv/shop"),
            "success_exit_codes": st.lists(st.integers(0, 255), min_size=1, max_size=4),
        }
    ),
    "http": st.fixed_dictionaries(
        {
            "method": st.sampled_from(["GET", "POST", "DELETE"]),
            "url": st.sampled_from(["https://example.org/hook?a=1#b", "http://127.0.0.1:8080/"]),
            "headers": st.dictionaries(
                st.from_regex(r"[A-Za-z][A-Za-z-]{0,8}", fullmatch=True), header_value, max_size=4
            ),
            "expect_status": st.sampled_from(["2xx", "200,204", "3xx,404"]),
            "follow_redirects": st.booleans(),
            "verify_tls": st.booleans(),
        }
    ).flatmap(
        lambda action: st.sampled_from(["", "body", "json"]).flatmap(
            lambda name: (text if name == "body" else json_value).map(
                lambda sent: {**action, name: sent} if name else action
            )
        )
    ),
    "python": st.fixed_dictionaries({"callable": st.just("shop.reports:nightly"), "kwargs": json_object}),
    "flow": st.fixed_dictionaries(
        {"entrypoint": line.map(lambda name: f"flows/{name}.py:main"), "parameters": json_object}
    ),
}
bounds = st.one_of(
    st.just((None, None)),
    st.lists(instant, min_size=2, max_size=2, unique=True).map(sorted).map(tuple),
    st.tuples(instant, st.none()),
)


def _document(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    rest = {
        "name": line,
        "kind": st.just(kind),
        "action": actions[kind],
        "description": text,
        "tags": st.lists(line, max_size=3),
        "schedule": schedule,
        "overlap": st.sampled_from(Overlap),
        "misfire": st.sampled_from(Misfire),
        "max_lateness_seconds": st.none() | st.integers(0, 9999),
        "on_crash": st.sampled_from(OnCrash),
        "retries": st.integers(0, 100),
        "retry_delay_seconds": st.integers(0, 9999),
        "retry_backoff": st.sampled_from(Backoff),
        "timeout_seconds": st.none() | st.integers(1, 99999),
        "work_pool": line,
        "paused": st.booleans(),
    }
    return st.builds(
        lambda rest, bounds: as_document(parse_task({**rest, "starts_at": bounds[0], "ends_at": bounds[1]})),
        st.fixed_dictionaries(rest),
        bounds,
    )


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Any valid task."""
    return st.sampled_from(list(actions)).flatmap(_document)


def example(kind: str = "shell", **changes: Any) -> dict[str, Any]:
    """One plain task of the kind."""
    action = {
        "shell": {"command": "pg_dump shop"},
        "http": {"url": "https://example.org/hook"},
        "python": {"callable": "shop.reports:nightly"},
        "flow": {"entrypoint": "flows/shop.py:main"},
    }[kind]
    due = {"kind": "cron", "cron": "0 2 * * *", "timezone": "Europe/Berlin"}
    return as_document(parse_task({"name": "backup", "kind": kind, "action": action, "schedule": due, **changes}))

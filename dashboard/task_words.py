"""A task's fields as people call them, and their values as people read them. Pure."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dashboard.field_texts import codes_text, env_text, headers_text
from dashboard.forms import field_at
from dashboard.moments import in_full
from dashboard.policies import SENTENCES, duration
from db import stored
from db.schedule_words import in_words
from db.schedules import Once

LABELS = {
    "name": "Name",
    "description": "Description",
    "tags": "Tags",
    "kind": "Kind",
    "action": "What it does",
    "action.command": "Command",
    "action.env": "Environment",
    "action.cwd": "Working directory",
    "action.success_exit_codes": "Exit codes that mean success",
    "action.method": "Method",
    "action.url": "Address",
    "action.headers": "Headers",
    "action.body": "Body",
    "action.json": "JSON body",
    "action.expect_status": "Status that means success",
    "action.follow_redirects": "Follow redirects",
    "action.verify_tls": "Verify certificates",
    "action.callable": "Function",
    "action.kwargs": "Arguments",
    "action.entrypoint": "Flow",
    "action.parameters": "Parameters",
    "schedule": "Schedule",
    "starts_at": "Starts",
    "ends_at": "Ends",
    "overlap": "If the last run is not done",
    "misfire": "If times were missed",
    "max_lateness_seconds": "Never later than",
    "on_crash": "If its machine dies",
    "retries": "Retries",
    "retry_delay_seconds": "Pause before a retry",
    "retry_backoff": "Pauses between retries",
    "timeout_seconds": "Time limit of an attempt",
    "work_pool": "Work pool",
    "paused": "Paused",
}
FIELD_LABELS = {
    **{field_at(path): words for path, words in LABELS.items()},
    "body_kind": "Body",
    "body": "Content",
    "schedule_kind": "Schedule",
    "cron": "Cron expression",
    "timezone": "Time zone",
    "calendars": "Calendars",
    "on_closed": "On a closed day",
    "once_date": "Day",
    "once_time": "Time",
    "once_pass": "Which of the two",
    "run_if_past": "Run it at once if this moment has passed",
    "retry_delay_seconds": "Pause before a retry, seconds",
    "timeout_seconds": "Time limit of an attempt, seconds",
    "max_lateness_seconds": "Never later than, seconds",
}
"""The same for the fields of the form."""
KINDS = {"shell": "Shell command", "http": "HTTP request", "python": "Python function", "flow": "Prefect flow"}


def label(field: str) -> str:
    """What the form calls a field of the document."""
    return LABELS.get(field, field)


def value(field: str, held: Any, *, zone: str) -> str:
    """What a field of the document holds, its instants in the zone; empty for nothing."""
    if field in SENTENCES:
        return SENTENCES[field].get(held, str(held))
    if field.endswith("_seconds"):
        return "" if held is None else duration(held)
    return _WRITERS.get(field, _plain)(held, zone)


def _plain(held: Any, _zone: str) -> str:
    match held:
        case None | "" | [] | {}:
            return ""
        case bool():
            return "yes" if held else "no"
        case str() | int():
            return str(held)
        case _:
            return json.dumps(held, indent=2, ensure_ascii=False)


def _instant(held: str | None, zone: str) -> str:
    return in_full(datetime.fromisoformat(held), zone) if held else ""


def _schedule(held: dict[str, Any], zone: str) -> str:
    due = stored.schedule_or_none(held)
    if due is None:
        return _plain(held, zone)
    if isinstance(due, Once):
        return f"Once, {in_full(due.at, zone)}"
    lines = [in_words(due), held.get("cron", ""), _calendars(held)]
    return "\n".join(line for line in lines if line)


def _calendars(held: dict[str, Any]) -> str:
    if not held.get("calendars"):
        return ""
    return f"Calendars: {', '.join(held['calendars'])} ({len(held.get('closed', []))} entries)"


def _action(held: dict[str, Any], zone: str) -> str:
    lines = [
        f"{label(f'action.{name}')}: {value(f'action.{name}', part, zone=zone)}"
        for name, part in held["action"].items()
    ]
    return "\n".join([KINDS[held["kind"]], *(line for line in lines if not line.endswith(": "))])


def _body(held: Any, zone: str) -> str:
    if not isinstance(held, dict):
        return _plain(held, zone)
    return _plain(held["body"] if held["json"] is None else held["json"], zone)


_WRITERS: Mapping[str, Callable[[Any, str], str]] = {
    "tags": lambda held, _zone: ", ".join(held),
    "action": _action,
    "action.body": _body,
    "action.env": lambda held, _zone: env_text(held),
    "action.headers": lambda held, _zone: headers_text(held),
    "action.success_exit_codes": lambda held, _zone: codes_text(held),
    "schedule": _schedule,
    "starts_at": _instant,
    "ends_at": _instant,
}

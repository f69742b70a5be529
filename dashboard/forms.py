"""The fields of the task form, and the JSON document of db.specs: each is read from the other. Pure.

`fields_of` and `read` are inverse for every valid task. What the form does not show stays as it was in `base`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard import wall_times
from dashboard.field_texts import (
    codes_text,
    env_text,
    headers_text,
    json_text,
    read_codes,
    read_env,
    read_headers,
    read_json,
    read_object,
)
from dashboard.wall_times import parse_once, parse_wall, time_text, wall_text
from db.specs import AnyTask, FieldError, InvalidTask, as_document, parse_task
from db.states import Kind

Fields = dict[str, Any]
Document = dict[str, Any]

AS_THEY_ARE = (
    "name",
    "description",
    "tags",
    "kind",
    "overlap",
    "misfire",
    "max_lateness_seconds",
    "on_crash",
    "retries",
    "retry_delay_seconds",
    "retry_backoff",
    "timeout_seconds",
    "work_pool",
)
MUST_BE_FILLED = {
    "name": "Give the task a name.",
    "action.command": "Write the command that is to be run.",
    "action.url": "Write the address that is to be called.",
    "action.callable": "Name the function, as package.module:name.",
    "action.entrypoint": "Name the flow, as package.module:name.",
    "retries": "Say how many, 0 for none.",
    "retry_delay_seconds": "Say how many seconds, 0 for none.",
    "work_pool": "Name the work pool; without one of your own it is default.",
}
NO_BODY, TEXT_BODY, JSON_BODY = "none", "text", "json"
FIRST_PASS, SECOND_PASS = "first", "second"


@dataclass(frozen=True, slots=True)
class Part:
    """A member of an action: its field has the same name, and holds what `write` makes of it."""

    name: str
    blank: Any
    write: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value


PARTS: Mapping[str, tuple[Part, ...]] = {
    Kind.SHELL: (
        Part("command", ""),
        Part("env", {}, env_text, read_env),
        Part("cwd", None, lambda cwd: cwd or "", lambda text: text or None),
        Part("success_exit_codes", [0], codes_text, read_codes),
    ),
    Kind.HTTP: (
        Part("method", "POST"),
        Part("url", ""),
        Part("headers", {}, headers_text, read_headers),
        Part("expect_status", "2xx"),
        Part("follow_redirects", True),
        Part("verify_tls", True),
    ),
    Kind.PYTHON: (Part("callable", ""), Part("kwargs", {}, json_text, read_object)),
    Kind.FLOW: (Part("entrypoint", ""), Part("parameters", {}, json_text, read_object)),
}


def new_document(zone: str) -> Document:
    """What an empty form starts with: everything at its default, due every night."""
    nightly = {"kind": "cron", "cron": "0 2 * * *", "timezone": zone}
    filled = parse_task({"name": "x", "kind": "shell", "action": {"command": "x"}, "schedule": nightly})
    return {**as_document(filled), "name": "", "action": {"command": ""}}


def fields_of(document: Mapping[str, Any], *, zone: str, now: datetime) -> Fields:
    """Every field of the form, of the other kinds as well; `zone` is for tasks that have none of their own."""
    zone = document["schedule"].get("timezone", zone)
    return {
        **{name: document[name] for name in AS_THEY_ARE},
        **_action_fields(document["kind"], document["action"]),
        **_schedule_fields(document["schedule"], zone=zone, now=now),
        **{name: _wall_text(document[name], zone) for name in ("starts_at", "ends_at")},
    }


def _action_fields(kind: str, action: Mapping[str, Any]) -> Fields:
    fields = {part.name: part.write(part.blank) for parts in PARTS.values() for part in parts}
    fields |= {part.name: part.write(action.get(part.name, part.blank)) for part in PARTS[kind]}
    return {**fields, **_body_fields(action)}


def _body_fields(action: Mapping[str, Any]) -> Fields:
    if action.get("json") is not None:
        return {"body_kind": JSON_BODY, "body": json_text(action["json"])}
    if action.get("body") is not None:
        return {"body_kind": TEXT_BODY, "body": action["body"]}
    return {"body_kind": NO_BODY, "body": ""}


def _schedule_fields(schedule: Mapping[str, Any], *, zone: str, now: datetime) -> Fields:
    at = datetime.fromisoformat(schedule["at"]) if "at" in schedule else wall_times.next_full_hour(now)
    local = at.astimezone(ZoneInfo(zone))
    return {
        "schedule_kind": schedule["kind"],
        "cron": schedule.get("cron", "0 2 * * *"),
        "timezone": zone,
        "calendars": schedule.get("calendars", []),
        "on_closed": schedule.get("on_closed", "skip"),
        "once_date": local.date(),
        "once_time": time_text(local.time()),
        "once_pass": SECOND_PASS if local.fold else FIRST_PASS,
        "run_if_past": schedule.get("run_if_past", False),
    }


def _wall_text(text: str | None, zone: str) -> str:
    return "" if text is None else wall_text(datetime.fromisoformat(text), zone)


def read(fields: Mapping[str, Any], *, base: Mapping[str, Any] | None = None) -> AnyTask:
    """The task that the fields describe; `base` is the document that they were made of, if there was one.

    Raises:
        InvalidTask: with every field that is wrong.
    """
    reading = _Reading(fields, base or {})
    document = {
        **reading.base,
        **{name: fields[name] for name in AS_THEY_ARE},
        "action": reading.action(),
        "schedule": reading.schedule(),
        **{name: reading.bound(name) for name in ("starts_at", "ends_at")},
    }
    reading.require_filled(document)
    try:
        task = parse_task(document)
    except InvalidTask as error:
        raise InvalidTask([*reading.wrong, *reading.others(error.errors)]) from None
    if reading.wrong:
        raise InvalidTask(reading.wrong)
    return task


class _Reading:
    """One reading of a form, which goes on after what it cannot read and keeps it in `wrong`."""

    def __init__(self, fields: Mapping[str, Any], base: Mapping[str, Any]) -> None:
        self.fields = fields
        self.base = base
        self.wrong: list[FieldError] = []

    def action(self) -> Document:
        kind = self.fields["kind"]
        known = self.base.get("action", {}) if self.base.get("kind") == kind else {}
        action = {**known, **{part.name: self._part(part, known) for part in PARTS[kind]}}
        return {**action, **self._body()} if kind == Kind.HTTP else action

    def _part(self, part: Part, known: Mapping[str, Any]) -> Any:
        text = self.fields[part.name]
        # So that spaces around a header, which reading drops, are lost by those who edit the headers only.
        if part.name in known and part.write(known[part.name]) == text:
            return known[part.name]
        return self._try(f"action.{part.name}", part.read, text)

    def _body(self) -> Document:
        text = self.fields["body"]
        match self.fields["body_kind"]:
            case "text":
                return {"body": text, "json": None}
            case "json":
                return {"body": None, "json": self._try("action.json", read_json, text)}
            case _:
                return {"body": None, "json": None}

    def schedule(self) -> Document:
        match self.fields["schedule_kind"]:
            case "cron":
                return {
                    "kind": "cron",
                    **{name: self.fields[name] for name in ("cron", "timezone", "calendars", "on_closed")},
                    "closed": self._closed(),
                }
            case "once":
                at = self._try("schedule.at", lambda _: once_at(self.fields).isoformat(), None)
                return {"kind": "once", "at": at, "run_if_past": self.fields["run_if_past"]}
            case _:
                return {"kind": "manual"}

    def _closed(self) -> Any:
        """What the calendars said when the document was made, where they are the same."""
        known = self.base.get("schedule", {})
        return known.get("closed", []) if known.get("calendars", []) == self.fields["calendars"] else []

    def bound(self, name: str) -> str | None:
        text, zone = self.fields[name], self.fields["timezone"]
        return self._try(name, lambda text: parse_wall(text, zone).isoformat(), text) if text.strip() else None

    def require_filled(self, document: Document) -> None:
        """Says of what is blank what belongs there."""
        for path, message in MUST_BE_FILLED.items():
            parent, _, name = path.rpartition(".")
            value = (document[parent] if parent else document).get(name, "not asked for")
            if value is None or (isinstance(value, str) and not value.strip()):
                self.wrong.append(FieldError(field=path, message=message))

    def others(self, errors: list[FieldError]) -> list[FieldError]:
        """Those about fields that nothing has been said about."""
        said = {error.field for error in self.wrong}
        return [error for error in errors if error.field not in said]

    def _try(self, path: str, read: Callable[[Any], Any], value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            self.wrong.append(FieldError(field=path, message=str(error)))
            return None


def once_at(fields: Mapping[str, Any]) -> datetime:
    """The instant that a one-time schedule means.

    Raises:
        ValueError: its day or time cannot be read.
    """
    second_pass = fields["once_pass"] == SECOND_PASS
    return parse_once(fields["once_date"], fields["once_time"], fields["timezone"], second_pass=second_pass)


RENAMED = {
    "schedule.at": "once_time",
    "schedule.kind": "schedule_kind",
    "action.json": "body",
    # The one rule about a whole task is that it ends after it starts.
    "body": "ends_at",
}


def field_at(path: str) -> str:
    """The form's field where an error at this path of the document belongs."""
    parts = path.split(".")
    start = ".".join(parts[:2])
    if start in RENAMED:
        return RENAMED[start]
    return parts[1] if parts[0] in ("action", "schedule") and len(parts) > 1 else parts[0]


def problems(error: InvalidTask) -> dict[str, str]:
    """The first message for each field of the form."""
    found: dict[str, str] = {}
    for each in error.errors:
        found.setdefault(field_at(each.field), each.message)
    return found

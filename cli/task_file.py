"""Tasks as a file: a prefect.yaml whose entries say under `duetime` what Prefect does not know. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import yaml

from dashboard.copying import as_yaml
from db.closures import Entries, as_documents
from db.specs import AnyTask, FieldError, InvalidTask, as_document, as_said, parse_entries, parse_task
from db.states import After
from reconciler.deployments import FOREIGN, SLUG, Facts, as_task, wanted

OWN, CALENDARS = "duetime", "calendars"
"""The member of an entry that Prefect leaves alone, and that of `definitions`."""
HEAD = "# `duetime import` makes these tasks; `prefect deploy --all` makes what Prefect knows of them.\n"


class NotATaskFile(ValueError):
    """The text has no list of deployments."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A deployment of the file: the task that it says, or what is wrong with it."""

    name: str
    task: AnyTask | None = None
    """Without the tasks that it follows: these have other ids elsewhere."""
    errors: Sequence[FieldError] = field(default=())
    after: Sequence[tuple[str, After]] = field(default=())
    """The names of the tasks that it follows."""


def text_of(tasks: Iterable[tuple[UUID, AnyTask]], calendars: Mapping[str, Entries] | None = None) -> str:
    """The file of these tasks, by their ids, and of the calendars that they may follow.

    They follow each other by name; what follows none of them is left out.
    """
    listed = list(tasks)
    names = {task_id: task.name for task_id, task in listed}
    said = {name: as_documents(entries) for name, entries in (calendars or {}).items()}
    # Prefect leaves it to people what they define.
    definitions = {"definitions": {CALENDARS: said}} if said else {}
    deployments = [entry_of(*each, names=names) for each in listed]
    return HEAD + as_yaml({"name": OWN, "pull": [], **definitions, "deployments": deployments})


def entry_of(task_id: UUID, task: AnyTask, *, names: Mapping[UUID, str]) -> dict[str, Any]:
    """A deployment, as `read` reads it; `names` are those of the tasks that it may follow."""
    facts = wanted(task_id, task)
    schedule = facts["schedule"]
    entry: dict[str, Any] = {
        "name": facts["name"],
        "description": facts["description"],
        "entrypoint": facts["entrypoint"],
        "parameters": facts["parameters"],
        "tags": facts["tags"],
        "work_pool": {"name": facts["work_pool"]},
        "schedules": [{"slug": SLUG, **schedule}] if isinstance(schedule, dict) else [],
        "paused": facts["paused"],
    }
    entry = {name: value for name, value in entry.items() if value not in ("", [], {}, False)}
    rest = _rest(as_said(task), beside=_known(entry))
    if task.after:
        rest["after"] = [
            {"task": names[each.task_id], "on": each.on.value} for each in task.after if each.task_id in names
        ]
    return {**entry, OWN: rest} if rest else entry


def _rest(document: Mapping[str, Any], *, beside: Mapping[str, Any]) -> dict[str, Any]:
    """What the entry does not say by itself."""
    rest = {name: value for name, value in document.items() if beside[name] != value}
    if "action" in rest and "kind" not in rest:
        rest["action"] = {
            name: value for name, value in rest["action"].items() if beside["action"].get(name, ...) != value
        }
    return rest


def calendars_in(text: str) -> dict[str, Entries]:
    """The calendars of a file.

    Raises:
        NotATaskFile.
        InvalidTask: one of them says something wrong.
    """
    definitions = _document(text).get("definitions")
    found = definitions.get(CALENDARS) if isinstance(definitions, dict) else None
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise _wrong(f"definitions.{CALENDARS}", "Write names, each with a list of entries.")
    return {name: parse_entries(entries) for name, entries in found.items()}


def _document(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise NotATaskFile(f"it is not YAML: {error}") from None
    return found if isinstance(found, dict) else {}


def read(text: str) -> list[Entry]:
    """The entries of a file.

    Raises:
        NotATaskFile.
    """
    deployments = _document(text).get("deployments")
    if not isinstance(deployments, list):
        raise NotATaskFile("it has no list named deployments")
    entries = [_entry(number, each) for number, each in enumerate(deployments, start=1)]
    often = Counter(entry.task.name for entry in entries if entry.task is not None)
    return [
        Entry(entry.name, errors=[FieldError(field="name", message="Another entry has this name.")])
        if entry.task is not None and often[entry.task.name] > 1
        else entry
        for entry in entries
    ]


def _entry(number: int, given: Any) -> Entry:
    name = given.get("name") if isinstance(given, dict) else None
    named = name if isinstance(name, str) else f"deployment {number}"
    try:
        return Entry(named, task_in(given), after=_after_in(given))
    except InvalidTask as error:
        return Entry(named, errors=error.errors)


def task_in(entry: Any) -> AnyTask:
    """The task that a deployment says.

    Raises:
        InvalidTask.
    """
    rest = entry.get(OWN, {}) if isinstance(entry, dict) else None
    if not isinstance(rest, dict):
        raise _wrong(
            OWN if isinstance(entry, dict) else "deployments", "Write names and values, such as `name: backup`."
        )
    known = _known(entry, follows="schedule" not in rest)
    document = {**known, **rest, "after": []}
    if isinstance(rest.get("action"), dict) and "kind" not in rest:
        document["action"] = {**known["action"], **rest["action"]}
    return parse_task(document)


def _after_in(entry: Mapping[str, Any]) -> list[tuple[str, After]]:
    """The names of the tasks that it follows.

    Raises:
        InvalidTask.
    """
    given = entry.get(OWN, {}).get("after") or []
    try:
        # To YAML 1.1 a plain `on` is true, also as a name.
        return [(str(each["task"]), After(each.get("on", each.get(True, After.SUCCEEDED)))) for each in given]
    except (TypeError, KeyError, ValueError, AttributeError):
        raise _wrong("after", "Write a list such as `[{task: backup, on: succeeded}]`.") from None


def _known(entry: Mapping[str, Any], *, follows: bool = True) -> dict[str, Any]:
    """The document of the task that Prefect's part of the entry stands for; `follows` its schedule."""
    return as_document(as_task(_facts(entry, follows=follows), name=_text(entry, "name")))


def _facts(entry: Mapping[str, Any], *, follows: bool) -> Facts:
    pool, description = entry.get("work_pool") or {}, entry.get("description") or ""
    if not isinstance(pool, dict):
        raise _wrong("work_pool", "Write `work_pool: {name: default}`.")
    if not isinstance(description, str):
        raise _wrong("description", "Write a text.")
    schedule = _schedule(entry) if follows else None
    if schedule == FOREIGN:
        raise _wrong("schedules", "A task follows one cron expression. Bring this one to Prefect by `prefect deploy`.")
    return Facts(
        flow="",
        name=_text(entry, "name"),
        entrypoint=_text(entry, "entrypoint"),
        parameters=_mapping(entry, "parameters"),
        schedule=schedule,
        paused=entry.get("paused") is True,
        work_pool=pool.get("name") or "default",
        tags=entry.get("tags") or [],
        description=description,
    )


def _schedule(entry: Mapping[str, Any]) -> dict[str, str] | str | None:
    schedules = entry.get("schedules") or ([entry["schedule"]] if entry.get("schedule") else [])
    if not isinstance(schedules, list):
        return FOREIGN
    active = [each for each in schedules if not isinstance(each, dict) or each.get("active") is not False]
    if not active:
        return None
    if len(active) > 1 or not isinstance(active[0], dict) or not active[0].get("cron"):
        return FOREIGN
    return {"cron": str(active[0]["cron"]), "timezone": str(active[0].get("timezone") or "UTC")}


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(name, "This is needed.")
    return value


def _mapping(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = entry.get(name) or {}
    if not isinstance(value, dict):
        raise _wrong(name, "Write names and values, such as `command: df -h /`.")
    return value


def _wrong(field_: str, message: str) -> InvalidTask:
    return InvalidTask([FieldError(field=field_, message=message)])

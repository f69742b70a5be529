"""Tasks as they are stored, also those that cannot be read any more: a zone was removed, a row was spoilt by hand.

Whoever reads many reads each on its own, so that one that is broken is shown as broken and the others as they are.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from db.schedule_words import in_words
from db.schedules import MAX_CRON, Schedule
from db.specs import MAX_ZONE, AnyTask, InvalidTask, as_document, parse_task, schedule_of
from db.states import Kind
from db.values import MAX_NAME

log = logging.getLogger(__name__)

BROKEN = "This task cannot be read any more ({why}). Nothing of it is due until somebody edits it, and saves it."
WHY_AT_MOST = 500
UNREADABLE = "unreadable"
_ACTIONS: Mapping[Kind, dict[str, Any]] = {
    Kind.SHELL: {"command": UNREADABLE},
    Kind.HTTP: {"url": "http://unreadable.invalid/"},
    Kind.PYTHON: {"callable": "unreadable:unreadable"},
    Kind.FLOW: {"entrypoint": "unreadable:unreadable"},
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A task that was read; where it is broken, what stands in for it has all of it that can be read, and is manual."""

    task: AnyTask
    broken: str | None = None
    """Why it cannot be read."""


def read(document: Any, *, name: str | None = None) -> Stored:
    """The task of a stored document, whatever it is; `name` is what it is called where the document does not say."""
    try:
        return Stored(parse_task(document))
    except Exception as error:  # noqa: BLE001 - whatever is stored there
        return Stored(stand_in(document, name=name), why(error))


def sound(document: Any) -> AnyTask:
    """The task of a stored document, for whoever goes on to write what it says.

    Raises:
        InvalidTask: it cannot be read.
    """
    try:
        return parse_task(document)
    except InvalidTask:
        raise
    except Exception as error:
        raise InvalidTask([]) from error


def why(error: Exception) -> str:
    """In the words of the rule that it breaks."""
    said = str(error) if isinstance(error, InvalidTask) else ""
    return (said or type(error).__name__)[:WHY_AT_MOST].rstrip(".")


def stand_in(document: Any, *, name: str | None) -> AnyTask:
    """All of it that can be read, as a task that is never due."""
    held = document if isinstance(document, dict) else {}
    kind = next((each for each in Kind if each == held.get("kind")), Kind.SHELL)
    task: dict[str, Any] = {"kind": kind, "action": _ACTIONS[kind], "schedule": {"kind": "manual"}}
    called = "".join(each if each.isprintable() else "?" for each in name or "").strip()[:MAX_NAME]
    task["name"] = called or UNREADABLE
    known = {key: held[key] for key in held if key not in ("kind", "schedule")}
    for key, value in known.items():
        try:
            parse_task({**task, key: value})
        except Exception:  # noqa: BLE001 - this is what cannot be read
            log.debug("Member %s of a stored task cannot be read", key)
        else:
            task[key] = value
    return parse_task(task)


def shown(found: Stored, document: Any) -> dict[str, Any]:
    """The document of a task as it is shown: where it is broken, with the schedule that somebody has to mend."""
    said = as_document(found.task)
    held = document.get("schedule") if isinstance(document, dict) else None
    if found.broken is None or not isinstance(held, dict):
        return said
    cron, zone = held.get("cron"), held.get("timezone")
    is_text = isinstance(cron, str) and isinstance(zone, str) and 0 < len(cron) <= MAX_CRON and len(zone) <= MAX_ZONE
    return {**said, "schedule": {"kind": "cron", "cron": cron, "timezone": zone}} if is_text else said


def schedule_or_none(document: Any) -> Schedule | None:
    """The schedule that a stored document says, if it says one."""
    try:
        return schedule_of(document)
    except Exception:  # noqa: BLE001 - whatever is stored there
        return None


def schedule_in_words(document: Any) -> str:
    """The schedule of a stored document, whatever it is."""
    schedule = schedule_or_none(document)
    return "Cannot be read" if schedule is None else in_words(schedule)

"""A task as text to take elsewhere: a request, a document, an entry of prefect.yaml. Pure."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from db.specs import AnyTask, as_said

SLUG = "duetime"


def curl(task: AnyTask, base_url: str) -> str:
    """The request that makes a task like this one, for a shell."""
    body = json.dumps(as_said(task), indent=2, ensure_ascii=False)
    url = shlex.quote(f"{base_url.rstrip('/')}/api/tasks")
    return f"curl -s {url} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def document(task: AnyTask) -> str:
    """The task as the API takes it, in YAML."""
    return as_yaml(as_said(task))


def prefect_yaml(applied: Mapping[str, Any]) -> str:
    """An entry of `deployments:` in a prefect.yaml, from what Prefect was told of the task."""
    entry: dict[str, Any] = {
        "name": applied["name"],
        "description": applied["description"],
        "entrypoint": applied["entrypoint"],
        "parameters": applied["parameters"],
        "tags": applied["tags"],
        "work_pool": {"name": applied["work_pool"]},
        "schedules": _schedules(applied["schedule"]),
    }
    return as_yaml([{name: value for name, value in entry.items() if value not in ("", [], {})}])


def _schedules(schedule: Any) -> list[dict[str, Any]]:
    return [{"slug": SLUG, **schedule}] if isinstance(schedule, Mapping) else []


def as_yaml(value: Any) -> str:
    """Readable where that is the same when it is read again: some signs are taken for the end of a line."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
    return text if yaml.safe_load(text) == value else yaml.safe_dump(value, sort_keys=False, width=110)

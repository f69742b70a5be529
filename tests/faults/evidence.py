"""What is left when a campaign is over, read over REST and from the file that the commands wrote."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.faults.tasks import mark_of, period_of
from tests.faults.verdict import Evidence, Line, Row, Run, Task, Version, parse_line


def pages(api: httpx.Client, path: str, **params: str) -> Iterator[dict[str, Any]]:
    """Every item of a list, page after page."""
    cursor: dict[str, str] = {}
    while True:
        page = api.get(path, params={"limit": "500", **params, **cursor}).raise_for_status().json()
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def all_tasks(api: httpx.Client, *, search: str = "") -> dict[str, dict[str, Any]]:
    """Those in the trash, too, by name; with `search`, those whose name has it."""
    query = {"search": search} if search else {}
    states: tuple[dict[str, str], ...] = ({}, {"state": "deleted"})
    return {task["name"]: task for state in states for task in pages(api, "/tasks", **query, **state)}


def undecided(api: httpx.Client, task_id: str, *, begin: datetime, end: datetime) -> int:
    """How many due times of a task are still open."""
    window = {"from": begin.isoformat(), "to": end.isoformat()}
    return sum(1 for open_ in ("pending", "running") for _ in pages(api, due_times(task_id), outcome=open_, **window))


def due_times(task_id: str) -> str:
    return f"/tasks/{task_id}/due-times"


def gather(
    api: httpx.Client, lines: Path, *, begin: datetime, end: datetime, search: str = ""
) -> tuple[Evidence, list[str]]:
    """Everything of the due times from `begin` up to `end`, and the lines of the file that no command wrote whole."""
    documents = all_tasks(api, search=search)
    window = {"from": begin.isoformat(), "to": end.isoformat()}
    names = {task["id"]: name for name, task in documents.items()}
    rows = [
        _row(task["name"], one) for task in documents.values() for one in pages(api, due_times(task["id"]), **window)
    ]
    runs = {run.id: run for run in (_run(names, one) for one in pages(api, "/runs", **window))}
    whole, torn = read_lines(lines)
    tasks = {name: _task(api, task) for name, task in documents.items()}
    return Evidence(begin, end, tasks, rows, runs, whole), torn


def read_lines(path: Path) -> tuple[list[Line], list[str]]:
    """The lines of the file, and those that cannot be read."""
    whole: list[Line] = []
    torn: list[str] = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            whole.append(parse_line(text))
        except ValueError:
            torn.append(text)
    return whole, torn


def _task(api: httpx.Client, task: Mapping[str, Any]) -> Task:
    items = api.get(f"/tasks/{task['id']}/revisions").raise_for_status().json()["items"]
    versions = tuple(sorted((version_of(one) for one in items), key=lambda one: one.version))
    return Task(task["name"], task["on_crash"], task["overlap"], task["misfire"], task["retries"], versions)


def version_of(item: Mapping[str, Any]) -> Version:
    """A revision as the API answers it."""
    task = item["task"]
    schedule = task["schedule"]
    return Version(
        version=item["version"],
        at=datetime.fromisoformat(item["at"]),
        change=item["change"],
        mark=mark_of(task),
        period_seconds=period_of(schedule),
        once_at=datetime.fromisoformat(schedule["at"]).astimezone(UTC) if schedule["kind"] == "once" else None,
    )


def _row(name: str, item: Mapping[str, Any]) -> Row:
    due_at = datetime.fromisoformat(item["due_at"])
    return Row(name, due_at, item["outcome"], item["reason"], item["run_id"], item["task_version"])


def _run(names: Mapping[str, str], item: Mapping[str, Any]) -> Run:
    return Run(
        id=item["id"],
        task=names.get(item["task_id"], item["task_name"]),
        due_at=datetime.fromisoformat(item["due_at"]),
        trigger=item["trigger"],
        state=item["state"],
        attempt=item["attempt"],
        version=item["task_version"],
        lateness_seconds=item["lateness_seconds"],
        error=item["error"],
    )

"""Open problems as rows of grids: grouped by cause, and one by one. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from dashboard.badges import Badge
from dashboard.components import Column
from dashboard.moments import in_full, moment
from db.access import Role
from db.problems import Problem
from db.states import Mark, ProblemKind

BADGES: Mapping[ProblemKind, Badge] = {
    ProblemKind.FAILING: Badge("red", "cross", "Failing"),
    ProblemKind.NOT_DEPLOYED: Badge("red", "alert", "Not deployed"),
    ProblemKind.MISSED: Badge("orange", "alert", "Missed"),
    ProblemKind.UNKNOWN: Badge("violet", "bolt", "Unknown"),
    ProblemKind.WAITING: Badge("orange", "clock", "Waiting"),
    ProblemKind.POOL: Badge("red", "pause", "Work pool"),
    ProblemKind.NOTIFICATIONS: Badge("red", "alert", "PostgreSQL"),
    ProblemKind.SET_ASIDE: Badge("red", "alert", "Set aside"),
}
GROUP_COLUMNS = (
    Column("name", "Cause", "title"),
    Column("kind", "", "badges"),
    Column("tasks", "Tasks", "muted"),
    Column("last", "Last", "away", "right"),
)
COLUMNS = (
    Column("name", "Task", "title"),
    Column("kind", "What", "badges"),
    Column("times", "Times", align="right"),
    Column("since", "Since", "away"),
    Column("last", "Last", "away"),
)
MARKED = Column("marked", "Marked", "muted", spare=True)
ACKNOWLEDGE = {"key": Mark.ACKNOWLEDGED.value, "icon": "check", "label": "Acknowledge", "takes": Role.OPERATOR}
SNOOZE = {"key": Mark.SNOOZED.value, "icon": "clock", "label": "Snooze for an hour", "takes": Role.OPERATOR}
MUTE = {"key": Mark.MUTED.value, "icon": "ban", "label": "Mute", "takes": Role.OPERATOR}
REOPEN = {"key": "reopen", "icon": "restore", "label": "Reopen", "takes": Role.OPERATOR}

_VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{7,}\b|\d+(?:\.\d+)?", re.IGNORECASE)
_CODE = re.compile(r"exit code \d+|HTTP \d{3}|status \d{3}", re.IGNORECASE)
_ID = re.compile(r"[0-9a-f-]{36}\Z")
LONGEST = 160


def cause(problem: Problem) -> str:
    """What several tasks may have in common: the sentence without the numbers that differ, but for exit codes."""
    return _without_what_differs(problem.cause)


@lru_cache(maxsize=4096)  # a page draws the same ones again and again
def _without_what_differs(text: str) -> str:
    text = " ".join(text.split())[:LONGEST]
    kept = {match.span() for match in _CODE.finditer(text)}
    return _VARYING.sub(lambda found: found[0] if _is_within(found.span(), kept) else "…", text)


def _is_within(span: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    return any(begin <= span[0] and span[1] <= end for begin, end in others)


def by_cause(problems: Sequence[Problem]) -> dict[str, list[Problem]]:
    """The causes, those of most tasks first, and the newest first where they are as many."""
    found: dict[str, list[Problem]] = defaultdict(list)
    for each in problems:
        found[cause(each)].append(each)
    newest = {name: max(each.last_at for each in group) for name, group in found.items()}
    return dict(sorted(found.items(), key=lambda one: (-len(one[1]), -newest[one[0]].timestamp())))


def groups(problems: Sequence[Problem], *, zone: str) -> list[dict[str, Any]]:
    """A row for each cause; its id is the cause."""
    return [_group(name, group, zone) for name, group in by_cause(problems).items()]


def _group(name: str, group: Sequence[Problem], zone: str) -> dict[str, Any]:
    first = group[0]
    kinds = dict.fromkeys(each.kind for each in group)
    more = f"and {len(group) - 1:,} more" if len(group) > 1 else ""
    return {
        "id": name,
        "name": {"text": name, "href": "problems", "sub": " ".join(filter(None, [first.task_name, more]))},
        "kind": [asdict(BADGES[kind]) for kind in kinds],
        "tasks": _tasks(group),
        "last": moment(max(each.last_at for each in group), zone),
        "rev": [len(group), max(each.last_at for each in group).isoformat()],
    }


def _tasks(group: Sequence[Problem]) -> str:
    count = sum(each.task_id is not None for each in group)
    return "" if count == 0 else "1 task" if count == 1 else f"{count:,} tasks"


def place(key: str) -> tuple[str, dict[str, str]]:
    """The page of what a problem is about, by the problem's key, and the parameters of its address."""
    kind, _, about = key.partition(":")
    if kind == ProblemKind.POOL:
        return "workers", {}
    if kind == ProblemKind.SET_ASIDE and not _ID.match(about):
        return "problems", {}
    return ("settings", {}) if kind == ProblemKind.NOTIFICATIONS else ("task", {"id": about})


def _address(problem: Problem) -> str:
    page, parameters = place(problem.key)
    return f"{page}?id={parameters['id']}" if parameters else page


def row(problem: Problem, *, zone: str) -> dict[str, Any]:
    """One problem of a cause, which is said once for all; its id is its key."""
    own = problem.cause[:LONGEST] if problem.cause != cause(problem) else ""
    return {
        "id": problem.key,
        "name": {"text": problem.task_name, "href": _address(problem), "sub": own},
        "kind": [asdict(BADGES[problem.kind])],
        "times": f"{problem.times:,}",
        "since": moment(problem.since, zone),
        "last": moment(problem.last_at, zone),
        "marked": _marked(problem, zone),
        "actions": [ACKNOWLEDGE, SNOOZE, MUTE] if problem.mark is None else [REOPEN],
        "dim": problem.mark is not None,
        "rev": [problem.times, problem.last_at.isoformat()],
    }


def _marked(problem: Problem, zone: str) -> str:
    mark = problem.mark
    if mark is None:
        return ""
    until = f" until {in_full(mark.until, zone).splitlines()[0]}" if mark.until else ""
    return f"{mark.mark.capitalize()} by {mark.actor}{until}"

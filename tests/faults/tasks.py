"""The tasks of a campaign: every policy, with commands that write down when they start and how they end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

CRONS = {1: "* * * * * */1", 5: "* * * * * */5", 10: "* * * * * */10", 30: "* * * * * */30", 60: "* * * * *"}
"""By period in seconds. Every instant that is a multiple of the period is due, in any time zone of whole minutes."""

# One short line at a time with O_APPEND is never mixed with another one.
WRITE = 'echo "$1 $DUETIME_TASK $DUETIME_DUE_AT $DUETIME_RUN_ID $DUETIME_ATTEMPT $MARK $(date +%s.%N)" >> "$LINES"'
COMMAND = f"""write() {{ {WRITE}; }}
write start
sleep $(( LEAST + $$ % (SPREAD + 1) ))
if [ "$FAILS" = 1 ] && [ "$DUETIME_ATTEMPT" = 1 ]; then write fail; exit 1; fi
write end
"""


OURS = "campaign."
"""What the names of the tasks of a campaign of kills begin with, so that other tasks of the system are told apart."""


@dataclass(frozen=True, slots=True)
class Template:
    """What of a task never changes, and what it may be changed to."""

    name: str
    periods: tuple[int, ...]
    """In seconds: the one that it starts with, and the others that an edit may choose."""
    overlap: str
    misfire: str
    on_crash: str
    retries: int = 0
    fails_first: bool = False
    least_seconds: int = 0
    spread_seconds: int = 3
    kind: str = "shell"


PERIODIC = (
    Template("second-skip", (1, 1, 5), "skip", "latest", "fail", spread_seconds=0),
    Template("five-queue", (5, 10), "queue", "all", "rerun", spread_seconds=3),
    Template("five-allow", (5, 10), "allow", "latest", "fail", spread_seconds=3),
    Template("five-replace", (5, 10), "replace", "skip", "fail", least_seconds=3, spread_seconds=5),
    Template("ten-retry-fail", (10, 5), "skip", "all", "fail", retries=2, fails_first=True, spread_seconds=2),
    Template("ten-retry-rerun", (10, 30), "allow", "all", "rerun", retries=2, fails_first=True, spread_seconds=2),
    Template("long-fail", (30, 60), "skip", "latest", "fail", least_seconds=20, spread_seconds=8),
    Template("long-rerun", (30, 60), "allow", "all", "rerun", least_seconds=20, spread_seconds=8),
    Template("minute-queue", (60, 30), "queue", "skip", "rerun"),
    Template("minute-allow", (60, 10), "allow", "all", "fail"),
    Template("ten-python", (10, 30), "allow", "latest", "fail", kind="python"),
)
ONCE = (
    Template("once-fail", (), "skip", "latest", "fail"),
    Template("once-rerun", (), "skip", "all", "rerun", least_seconds=1, spread_seconds=8),
    Template("once-retry", (), "queue", "all", "fail", retries=2, fails_first=True),
    Template("once-strict", (), "allow", "skip", "fail"),
    Template("once-long-rerun", (), "replace", "latest", "rerun", least_seconds=20),
)


def name_of(name: str) -> str:
    """The name of a task of a campaign of kills."""
    return f"{OURS}{name}"


def document(template: Template, name: str, schedule: dict[str, Any], *, lines: str, mark: str) -> dict[str, Any]:
    """The task as it is sent. What it writes carries the mark, so that a line tells which version wrote it."""
    return {
        "name": name,
        "kind": template.kind,
        "action": _action(template, lines, mark),
        "schedule": schedule,
        "overlap": template.overlap,
        "misfire": template.misfire,
        "on_crash": template.on_crash,
        "retries": template.retries,
        "retry_delay_seconds": 3,
        "tags": [template.name],
    }


def every(seconds: int) -> dict[str, Any]:
    """The schedule of this period."""
    return {"kind": "cron", "cron": CRONS[seconds], "timezone": "Europe/Berlin"}


def once(at: datetime) -> dict[str, Any]:
    """The schedule of this instant."""
    return {"kind": "once", "at": at.isoformat()}


def period_of(schedule: dict[str, Any]) -> int | None:
    """The period in seconds; None of a one-shot."""
    return {cron: seconds for seconds, cron in CRONS.items()}.get(schedule.get("cron", ""))


def mark_of(task: dict[str, Any]) -> str:
    """The mark of the version."""
    action = task["action"]
    return str(action["kwargs"]["mark"] if task["kind"] == "python" else action["env"]["MARK"])


def with_mark(task: dict[str, Any], mark: str) -> dict[str, Any]:
    """The same task with another command."""
    words = "kwargs" if task["kind"] == "python" else "env"
    name = "mark" if task["kind"] == "python" else "MARK"
    return {**task, "action": {**task["action"], words: {**task["action"][words], name: mark}}}


def _action(template: Template, lines: str, mark: str) -> dict[str, Any]:
    if template.kind == "python":
        kwargs = {"lines": lines, "mark": mark, "spread_seconds": template.spread_seconds}
        return {"callable": "tests.faults.witness:witness", "kwargs": kwargs}
    settings = {
        "LINES": lines,
        "MARK": mark,
        "LEAST": str(template.least_seconds),
        "SPREAD": str(template.spread_seconds),
        "FAILS": str(int(template.fails_first)),
    }
    return {"command": COMMAND, "env": settings}

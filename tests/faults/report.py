"""The result of a campaign as a table for people."""

import os
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.kills.campaign import Result
from tests.faults.verdict import Evidence, Fault

RESULT, DISTURBANCES = "result", "disturbances"
"""The places that a document has for the two parts of a campaign."""
OUTCOMES = ("ran", "unknown", "skipped", "missed", "cancelled", "pending", "running")


def table(result: Result, command: str) -> str:
    """Markdown. Pure but for the machine and the commit that it names."""
    evidence = result.evidence
    faults = Counter(one.fault for one in result.discrepancies)
    lines = [
        head(command, result.took_seconds),
        "",
        "| | |",
        "|---|---|",
        f"| kills | {result.kills.total()}: {_counted(result.kills)} |",
        f"| stopped and continued | {result.freezes.total()}: {_counted(result.freezes)} |",
        f"| changes sent | {result.changes.total()}: {_counted(result.changes)} |",
    ]
    if evidence is not None:
        lines += [
            f"| due times | {len(evidence.rows)} of {len(evidence.tasks)} tasks |",
            f"| lateness of {_lateness(result, evidence)} |",
        ]
    lines += [
        f"| unaccounted for | **{faults[Fault.UNACCOUNTED]}** |",
        f"| executed twice | **{faults[Fault.TWICE]}** |",
        f"| `rerun`, never executed | **{faults[Fault.NEVER]}** |",
        f"| contradictions of files, ledger and audit | **{faults[Fault.DISAGREES]}** |",
        f"| all decided | {result.decided_after_seconds:.0f} s after the end |",
        f"| `duetime audit` | exit code {result.audit_exit_code}: {result.audit} |",
        "",
    ]
    return "\n".join([*lines, *(_by_policy(evidence) if evidence is not None else [])])


def head(command: str, seconds: float) -> str:
    """What was made, when, of what, where, and how long it took."""
    where = f"commit {commit()}, {os.cpu_count()} cores"
    return f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {where}, {seconds / 60:.0f} minutes."


def rewrite(path: Path, text: str, *, place: str) -> None:
    """Puts the table between the marks of this place in the document, or into a new one.

    Raises:
        ValueError: the document has no marks.
    """
    first, last = marks(place)
    before, begin, rest = (path.read_text() if path.exists() else f"{first}\n{last}\n").partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{path} has no place for a result: put {first} and {last} where it is to be.")
    path.write_text(f"{before}{first}\n{text.strip()}\n{last}{after}")


def marks(place: str) -> tuple[str, str]:
    """The comments around it."""
    return f"<!-- {place}: begin -->", f"<!-- {place}: end -->"


def _by_policy(evidence: Evidence) -> Iterable[str]:
    """Due times by outcome; each is counted once for each of its task's three policies."""
    counted: Counter[tuple[str, str]] = Counter()
    for row in evidence.rows:
        task = evidence.tasks[row.task]
        policies = (f"overlap {task.overlap}", f"misfire {task.misfire}", f"on_crash {task.on_crash}")
        counted.update((policy, row.outcome) for policy in (*policies, "all"))
    seen = [outcome for outcome in OUTCOMES if counted["all", outcome]]
    yield f"| due times of tasks with | {' | '.join(seen)} |"
    yield f"|---|{'---|' * len(seen)}"
    for policy in sorted({policy for policy, _ in counted}, key=lambda one: (one == "all", one)):
        yield f"| {policy} | {' | '.join(str(counted[policy, outcome]) for outcome in seen)} |"


def _lateness(result: Result, evidence: Evidence) -> str:
    """Start minus due, of the due times that fell into a calm and ran; where a task queues, it is meant to wait."""
    ran = {row.run_id for row in evidence.rows if row.outcome == "ran" and evidence.tasks[row.task].overlap != "queue"}
    found = sorted(
        run.lateness_seconds
        for run in evidence.runs.values()
        if run.id in ran
        and run.lateness_seconds is not None
        and run.trigger == "schedule"
        and any(begin <= run.due_at < end for begin, end in result.calms)
    )
    if not found:
        return "due times in calm periods | none ran"
    figures = (statistics.median(found), found[int(len(found) * 0.95)], found[-1])
    median, most, longest = (f"{1000 * one:.0f} ms" for one in figures)
    return f"{len(found)} due times in calm periods | median {median}, 95 % {most}, longest {longest}"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{what} {count}" for what, count in sorted(counter.items())) or "none"


def commit() -> str:
    """Of the code that this is; with `-dirty` where it was changed since."""
    words: Sequence[str] = ("git", "describe", "--always", "--dirty")
    done = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"

"""What files, ledger and runs say together: every due time counted, and every contradiction told. Pure.

A due time is *expected* where a version of its task in force at that instant asks for it; that is worked out here from
the revisions, by arithmetic, and not by the ledger's own means. A version is in force from just after its instant up to
and with the instant of the next one.

What may be missing, and why that is honest:
- A start line, where the outcome is `unknown`: the kill came between the claim and the command's first instruction.
- A start line, where the run was cancelled: a newer run replaced it between its claim and its first instruction.
- An end line, where the outcome is `unknown`, or the run was cancelled: it was ended in the middle.
- The end line of a `rerun` task's due time, where the task was deleted afterwards: what runs may finish, but a deleted
  task is not started again.
And what may be there:
- An end line of an `unknown` outcome: a worker that could not be heard of for too long is taken for dead, and its
  command may have come to its end all the same.
- A row that no version in force asks for, up to `LATE_COMMIT` after its version was followed by another: a change reads
  the clock before it has the task's lock, and a claim that had the lock first was before it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property

OPEN = frozenset({"pending", "running"})
NOT_RUN = frozenset({"skipped", "missed", "cancelled"})
LATE_COMMIT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Line:
    """What a command wrote: `start`, and `end` or, where it fails on purpose, `fail`."""

    word: str
    task: str
    due_at: datetime
    run_id: str
    attempt: int
    mark: str
    at: float


@dataclass(frozen=True, slots=True)
class Row:
    """A due time as the ledger has it."""

    task: str
    due_at: datetime
    outcome: str
    reason: str | None
    run_id: str | None
    version: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the API tells it."""

    id: str
    task: str
    due_at: datetime
    trigger: str
    state: str
    attempt: int
    version: int
    lateness_seconds: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a task: from when it was in force, and what it asked for."""

    version: int
    at: datetime
    change: str
    mark: str
    period_seconds: int | None = None
    once_at: datetime | None = None

    def is_due(self, instant: datetime) -> bool:
        """Whether its schedule has this instant."""
        if self.period_seconds is None:
            return instant == self.once_at
        return instant.microsecond == 0 and int(instant.timestamp()) % self.period_seconds == 0


@dataclass(frozen=True, slots=True)
class Task:
    """A task with all its versions, oldest first."""

    name: str
    on_crash: str
    overlap: str
    misfire: str
    retries: int
    versions: tuple[Version, ...]

    def deleted_after(self, instant: datetime) -> bool:
        """Whether somebody deleted it later than this."""
        return any(one.change == "deleted" and one.at >= instant for one in self.versions)


@dataclass(frozen=True)
class Evidence:
    """Everything that was found, of the due times from `begin` up to `end`."""

    begin: datetime
    end: datetime
    tasks: Mapping[str, Task]
    rows: Sequence[Row]
    runs: Mapping[str, Run]
    lines: Sequence[Line]

    @cached_property
    def lines_of(self) -> Mapping[tuple[str, datetime], list[Line]]:
        """By task and due time, in the order in which they were written."""
        found: dict[tuple[str, datetime], list[Line]] = defaultdict(list)
        for line in self.lines:
            if self.begin <= line.due_at < self.end:
                found[line.task, line.due_at].append(line)
        return found

    @cached_property
    def known(self) -> frozenset[tuple[str, datetime]]:
        """What the ledger has rows of."""
        return frozenset((row.task, row.due_at) for row in self.rows)


class Fault(StrEnum):
    """What is wrong."""

    UNACCOUNTED = "unaccounted for"
    TWICE = "executed twice"
    NEVER = "never executed"
    DISAGREES = "files and ledger disagree"


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One contradiction, with what it was seen by."""

    fault: Fault
    task: str
    due_at: datetime | None
    why: str

    def __str__(self) -> str:
        due = f" due at {self.due_at.isoformat()}" if self.due_at else ""
        return f"{self.fault}: {self.task}{due}: {self.why}"


def parse_line(text: str) -> Line:
    """Raises ValueError for a line that no command wrote whole."""
    word, task, due_at, run_id, attempt, mark, at = text.split(" ")
    if word not in ("start", "end", "fail"):
        raise ValueError(f"unknown word {word!r}")
    return Line(word, task, datetime.fromisoformat(due_at), run_id, int(attempt), mark, float(at))


def expected_due_times(task: Task, *, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The instants from `begin` up to `end` at which the task was due."""
    for one, following in zip(task.versions, [*task.versions[1:], None], strict=True):
        if one.change == "deleted":
            continue
        last = min(end, following.at + timedelta(microseconds=1)) if following else end
        yield from _within(one, after=one.at, begin=begin, before=last)


def _within(version: Version, *, after: datetime, begin: datetime, before: datetime) -> Iterator[datetime]:
    if version.period_seconds is None:
        instants = iter([version.once_at] if version.once_at else [])
    else:
        first = int(max(after, begin).timestamp()) // version.period_seconds * version.period_seconds
        last = int(before.timestamp()) + 1
        instants = (datetime.fromtimestamp(at, UTC) for at in range(first, last + 1, version.period_seconds))
    return (at for at in instants if at > after and begin <= at < before)


def judge(evidence: Evidence) -> list[Discrepancy]:
    """Everything that is wrong; empty when nothing is."""
    found = [*_unaccounted(evidence), *_unheard_of(evidence)]
    for row in evidence.rows:
        lines = evidence.lines_of.get((row.task, row.due_at), [])
        found += [*_of_row(evidence, row, lines)]
    for (name, due_at), lines in evidence.lines_of.items():
        found += [*_of_lines(evidence, name, due_at, lines)]
    return found


def _unaccounted(evidence: Evidence) -> Iterator[Discrepancy]:
    """Each expected due time has a row, each row is decided, and none is there twice."""
    rows = Counter((row.task, row.due_at) for row in evidence.rows)
    yield from (
        Discrepancy(Fault.UNACCOUNTED, name, due_at, f"it has {n} rows") for (name, due_at), n in rows.items() if n > 1
    )
    for task in evidence.tasks.values():
        for due_at in expected_due_times(task, begin=evidence.begin, end=evidence.end):
            if (task.name, due_at) not in rows:
                yield Discrepancy(Fault.UNACCOUNTED, task.name, due_at, "the ledger has no row")
    for row in evidence.rows:
        if row.outcome in OPEN:
            yield Discrepancy(Fault.UNACCOUNTED, row.task, row.due_at, f"still {row.outcome}, run {row.run_id}")


def _unheard_of(evidence: Evidence) -> Iterator[Discrepancy]:
    """Each row was asked for by a version of its task."""
    for row in evidence.rows:
        task = evidence.tasks[row.task]
        if not any(
            one.is_due(row.due_at) and one.change != "deleted" and one.at < row.due_at <= until + LATE_COMMIT
            for one, until in _in_force(task, evidence.end)
        ):
            yield Discrepancy(Fault.DISAGREES, row.task, row.due_at, f"{row.outcome}, but no version was due then")


def _in_force(task: Task, end: datetime) -> Iterator[tuple[Version, datetime]]:
    untils = [*(one.at for one in task.versions[1:]), end]
    return zip(task.versions, untils, strict=True)


def _of_row(evidence: Evidence, row: Row, lines: Sequence[Line]) -> Iterator[Discrepancy]:
    task, run = evidence.tasks[row.task], evidence.runs.get(row.run_id or "")
    started = any(line.word == "start" for line in lines)
    over = any(line.word != "start" for line in lines)
    if row.outcome in NOT_RUN and started:
        yield _disagrees(row, f"the ledger says {row.outcome} ({row.reason}), but it was started: {_short(lines)}")
    if row.run_id is not None and run is None:
        yield _disagrees(row, f"its run {row.run_id} is not there")
    if row.outcome == "ran" and run is not None:
        yield from _of_what_ran(row, run, [line for line in lines if line.run_id == run.id])
    may_stay_undone = task.deleted_after(row.due_at) or (run is not None and run.state == "cancelled")
    if task.on_crash == "rerun" and row.outcome in ("ran", "unknown") and not over and not may_stay_undone:
        yield Discrepancy(Fault.NEVER, row.task, row.due_at, f"{row.outcome}, run {row.run_id}: {_short(lines)}")


def _of_what_ran(row: Row, run: Run, lines: Sequence[Line]) -> Iterator[Discrepancy]:
    words = {line.word for line in lines}
    said = f"run {run.id} is {run.state} ({run.error}): {_short(lines)}"
    if run.state not in ("completed", "failed", "timed_out", "cancelled"):
        yield _disagrees(row, f"it ran, but {said}")
    if run.state in ("completed", "failed", "timed_out") and "start" not in words:
        yield _disagrees(row, f"no start line, but {said}")
    if run.state == "completed" and "end" not in words:
        yield _disagrees(row, f"no end line, but {said}")


def _of_lines(evidence: Evidence, name: str, due_at: datetime, lines: Sequence[Line]) -> Iterator[Discrepancy]:
    task = evidence.tasks.get(name)
    if task is None or (name, due_at) not in evidence.known:
        yield Discrepancy(Fault.DISAGREES, name, due_at, f"the ledger knows nothing of it: {_short(lines)}")
        return
    starts = [line for line in lines if line.word == "start"]
    if why := executed_twice(task, lines):
        yield Discrepancy(Fault.TWICE, name, due_at, f"{why}: {_short(lines)}")
    for line in starts:
        run = evidence.runs.get(line.run_id)
        if run is None or (run.task, run.due_at) != (name, due_at):
            yield Discrepancy(Fault.DISAGREES, name, due_at, f"no such run: {_short([line])}")
            continue
        mark = next((one.mark for one in task.versions if one.version == run.version), None)
        if mark != line.mark:
            why = f"run {run.id} is of version {run.version} ({mark}), but {line.mark} was executed"
            yield Discrepancy(Fault.DISAGREES, name, due_at, why)


def executed_twice(task: Task, lines: Sequence[Line]) -> str | None:
    """Why this is more than the task allows; None where it is not. The lines are those of one due time, in order.

    The same attempt never starts twice. With `fail`, another attempt starts only where the task has retries left and
    the attempt before it was seen to fail: what a kill interrupted may have done its work.
    """
    starts = [line for line in lines if line.word == "start"]
    if len({line.attempt for line in starts}) < len(starts):
        return "the same attempt started twice"
    if task.on_crash == "rerun":
        return None
    for line in starts:
        if line.attempt > task.retries + 1:
            return f"attempt {line.attempt}, with {task.retries} retries"
        if line.attempt > 1 and not any(one.word == "fail" and one.attempt == line.attempt - 1 for one in lines):
            return f"attempt {line.attempt} started, though attempt {line.attempt - 1} had not failed"
    return None


def _disagrees(row: Row, why: str) -> Discrepancy:
    return Discrepancy(Fault.DISAGREES, row.task, row.due_at, why)


def _short(lines: Sequence[Line]) -> str:
    return "; ".join(f"{one.word} run {one.run_id} attempt {one.attempt} at {one.at:.3f}" for one in lines) or "no line"

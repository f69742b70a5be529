"""What has to become of a due time when its task is changed around it: the order of the commits decides. Pure.

A task is due at T. R is the instant of the revision that the change made, and A the moment at which the change was
answered: it was committed before A. The claim reads the task as it is then, so the version that the ledger names tells
the order: the old one, and the claim was first; the new one, and the change was.

| change   | the ledger at T                      | is right where                                                     |
|----------|--------------------------------------|--------------------------------------------------------------------|
| command  | ran, old version                     | started before A; the old command was executed                     |
|          | ran, new version                     | the new command was executed, and began after R                    |
| schedule | no row (withdrawn, it was not due)   | R < T; nothing was executed                                        |
| (not T)  | ran, old version                     | started before A; the old command was executed                     |
|          | ran, new version                     | R >= T: what was due already stays due; the new command, after R   |
| pause    | ran, old version                     | started before A                                                   |
|          | skipped, paused                      | nothing was executed                                               |
| resume   | ran, new version                     | R <= T; began after R                                              |
|          | skipped, paused                      | R > T, or the claim was first: A >= T; nothing was executed        |
| delete   | no row (withdrawn, it was not due)   | R < T; nothing was executed                                        |
|          | ran, old version                     | started before A                                                   |
|          | cancelled, deleted                   | R >= T: it was due, and nobody had claimed it; nothing executed    |

Everything else is wrong, above all: a run of the old version that started after A, a run of a paused or deleted
version, a row without its line or a line without its row, and anything executed twice. A change that reads the clock
before it has the task's lock may have R < T and yet come after the claim; that is the second row of `schedule` and of
`delete`, and the reason of `A >= T` for `resume`.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

AROUND_SECONDS = 5.0
CLOSE_SECONDS = 0.1
"""Every second change is sent this close to the due time: further away there is no race."""
AHEAD_SECONDS = (12.0, 16.0)


class Operation(StrEnum):
    """What is done to the task."""

    COMMAND = "command"
    SCHEDULE = "schedule"
    PAUSE = "pause"
    RESUME = "resume"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Trial:
    """One task, and the change that is sent `offset_seconds` after its due time (before it, when negative)."""

    number: int
    operation: Operation
    by_cron: bool
    ahead_seconds: float
    offset_seconds: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a trial left behind. The outcome is None where the ledger has no row."""

    due_at: datetime
    changed_at: datetime
    answered_at: datetime
    outcome: str | None
    reason: str | None = None
    version: int | None = None
    started_at: datetime | None = None
    """Of the run that the ledger names."""
    marks: tuple[str, ...] = ()
    """What the start lines say, one for each execution: `m1` or `m2`, the version whose command it is."""
    begun_at: datetime | None = None
    """When the first start line was written."""


def trials(seed: int, of_each: int) -> list[Trial]:
    """So many trials of each operation, mixed."""
    luck = random.Random(f"trials {seed}")
    operations = [operation for operation in Operation for _ in range(of_each)]
    luck.shuffle(operations)
    return [_trial(luck, number, operation) for number, operation in enumerate(operations)]


def _trial(luck: random.Random, number: int, operation: Operation) -> Trial:
    reach = CLOSE_SECONDS if luck.random() < 0.5 else AROUND_SECONDS
    return Trial(number, operation, luck.random() < 0.5, luck.uniform(*AHEAD_SECONDS), luck.uniform(-reach, reach))


def contradictions(operation: Operation, seen: Seen) -> list[str]:
    """What the table forbids; empty where all is right."""
    return [*_of_lines(operation, seen), *_of_order(operation, seen)]


def _of_lines(operation: Operation, seen: Seen) -> Iterator[str]:
    """The file has what the ledger says: the command of its version, once, or nothing."""
    changes_command = operation in (Operation.COMMAND, Operation.SCHEDULE)
    mark = f"m{seen.version}" if changes_command else "m1"
    wanted: Sequence[str] = (mark,) if seen.outcome == "ran" else ()
    if tuple(wanted) != seen.marks:
        yield f"executed {list(seen.marks)}, but the ledger says {seen.outcome} ({seen.reason}), version {seen.version}"


def _of_order(operation: Operation, seen: Seen) -> Iterator[str]:
    if (seen.outcome, seen.reason) not in _POSSIBLE[operation]:
        yield f"a {operation} cannot lead to {seen.outcome} ({seen.reason})"
    elif seen.outcome == "ran":
        yield from _of_what_ran(operation, seen)
    elif not _may_not_have_run(operation, seen):
        yield f"{seen.outcome} ({seen.reason}), though it was changed at {seen.changed_at}, answered {seen.answered_at}"


_RAN, _GONE, _PAUSED, _DELETED = ("ran", None), (None, None), ("skipped", "paused"), ("cancelled", "deleted")
_POSSIBLE = {
    Operation.COMMAND: (_RAN,),
    Operation.SCHEDULE: (_RAN, _GONE),
    Operation.PAUSE: (_RAN, _PAUSED),
    Operation.RESUME: (_RAN, _PAUSED),
    Operation.DELETE: (_RAN, _GONE, _DELETED),
}


def _of_what_ran(operation: Operation, seen: Seen) -> Iterator[str]:
    old, before = seen.version == 1, seen.changed_at < seen.due_at
    if seen.started_at is None or seen.begun_at is None:
        yield "it ran, but nobody knows when"
    elif old and seen.started_at > seen.answered_at:
        yield f"the old version was claimed at {seen.started_at}, after the change was answered at {seen.answered_at}"
    elif not old and seen.begun_at < seen.changed_at:
        yield f"the new version began at {seen.begun_at}, before it was made at {seen.changed_at}"
    if old and operation is Operation.RESUME:
        yield "a paused version was run"
    if not old and operation in (Operation.PAUSE, Operation.DELETE):
        yield "a paused or deleted version was run"
    if not old and operation is Operation.SCHEDULE and before:
        yield "the new version was run at an instant at which it is not due"
    if operation is Operation.RESUME and seen.changed_at > seen.due_at:
        yield "it passed during the pause, and was run all the same"


def _may_not_have_run(operation: Operation, seen: Seen) -> bool:
    match operation:
        case Operation.SCHEDULE:
            return seen.changed_at < seen.due_at
        case Operation.DELETE:
            return (seen.changed_at < seen.due_at) == (seen.outcome is None)
        case Operation.RESUME:
            return seen.changed_at > seen.due_at or seen.answered_at >= seen.due_at
    return True

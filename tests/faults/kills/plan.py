"""What is going to happen in a campaign, told by its seed alone: kills, freezes, calm, and changes of tasks. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

ROUND = 20
"""Kills in a round; the last one is of everything at once, and a calm follows it."""
GAP_SECONDS = (4.0, 9.0)
FREEZE_SECONDS = (1.0, 45.0)
FREEZES_PER_KILL = 0.2
DOWN_SECONDS = (0.0, 20.0)
CALM_SECONDS = 45.0
"""Without a fault, so that there are due times whose lateness can be judged."""
SHORT_CALM_SECONDS = 25.0


class Target(StrEnum):
    """What is hit; the words of processes.json, but each worker is one of its own."""

    WORKER_1 = "worker 1"
    WORKER_2 = "worker 2"
    RECONCILER = "reconciler"
    PREFECT = "prefect"
    POSTGRES = "postgres"
    DASHBOARD = "dashboard"


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the first of these that lives."""

    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class KillEverything:
    """SIGKILL to the supervisor and all parts; after so many seconds it is started again and waited for."""

    down_seconds: float


@dataclass(frozen=True, slots=True)
class Freeze:
    """SIGSTOP to the first of these that lives, and SIGCONT later, unless it was killed meanwhile."""

    targets: tuple[Target, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Calm:
    """Nothing happens for so long, changes of tasks apart."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Step:
    """What is done so many seconds after the step before it was done."""

    wait_seconds: float
    action: Kill | KillEverything | Freeze | Calm


def disturbances(seed: int, kills: int) -> list[Step]:
    """Exactly so many kills, in rounds."""
    luck = random.Random(f"disturbances {seed}")
    steps: list[Step] = []
    while kills > 0:
        size = min(ROUND, kills)
        steps += _round(luck, size, calm_seconds=CALM_SECONDS if size == ROUND else SHORT_CALM_SECONDS)
        kills -= size
    return steps


def _round(luck: random.Random, kills: int, *, calm_seconds: float) -> Iterator[Step]:
    for _ in range(kills - 1):
        if luck.random() < FREEZES_PER_KILL:
            yield Step(luck.uniform(*GAP_SECONDS) / 2, Freeze(_in_any_order(luck), luck.uniform(*FREEZE_SECONDS)))
        yield Step(luck.uniform(*GAP_SECONDS), Kill(_in_any_order(luck)))
    yield Step(luck.uniform(*GAP_SECONDS), KillEverything(luck.uniform(*DOWN_SECONDS)))
    yield Step(0.0, Calm(calm_seconds))


def _in_any_order(luck: random.Random) -> tuple[Target, ...]:
    return tuple(luck.sample(list(Target), len(Target)))


class ChangeKind(StrEnum):
    """What somebody does to a task."""

    COMMAND = "command"
    SCHEDULE = "schedule"
    PAUSE = "pause"
    RESUME = "resume"
    DELETE = "delete"
    RESTORE = "restore"
    ONCE = "once"
    """Makes a new one-shot."""


WEIGHTS = {
    ChangeKind.COMMAND: 3,
    ChangeKind.SCHEDULE: 3,
    ChangeKind.PAUSE: 2,
    ChangeKind.RESUME: 4,
    ChangeKind.DELETE: 1,
    ChangeKind.RESTORE: 4,
    ChangeKind.ONCE: 4,
}
MISSED = ("none", "last", "all")


@dataclass(frozen=True, slots=True)
class Change:
    """One change; `number` marks what it writes, `choice` (0 to 1) picks the task or the template."""

    number: int
    wait_seconds: float
    kind: ChangeKind
    choice: float
    ahead_seconds: float
    """For a one-shot: when it is due. For a pause: how long, or None until somebody resumes."""
    until_resumed: bool
    missed: str


def changes(seed: int) -> Iterator[Change]:
    """For as long as they are wanted."""
    luck = random.Random(f"changes {seed}")
    number = 0
    while True:
        number += 1
        yield Change(
            number=number,
            wait_seconds=luck.uniform(0.5, 4.5),
            kind=luck.choices(list(WEIGHTS), list(WEIGHTS.values()))[0],
            choice=luck.random(),
            ahead_seconds=luck.uniform(3.0, 60.0),
            until_resumed=luck.random() < 0.5,
            missed=luck.choice(MISSED),
        )

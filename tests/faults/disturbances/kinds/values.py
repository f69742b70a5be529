"""What runs themselves say: exceptions, results and output that cannot be stored as they are, and huge arguments."""

import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import httpx

from tests.faults.disturbances import poison
from tests.faults.disturbances.disturbance import Disturbance, World, victim_name
from tests.faults.disturbances.kinds.expectations import is_listed, runs_end

SECONDS = 25.0
MODULE = poison.__name__
RAISING = ("raise_nul", "raise_surrogate", "raise_huge", "raise_unspeakable")
RETURNING = ("return_nul", "return_surrogate", "print_everything")
EVERY_BYTE = f"'{sys.executable}' -c 'import os; os.write(1, bytes(range(256)) * 500)'"
EVERY_FIVE_SECONDS = {"kind": "cron", "cron": "* * * * * */5", "timezone": "UTC"}
HUGE_NUMBERS = (2**63, 2**64, -(2**80), 10**300)


@dataclass
class PoisonedRuns(Disturbance):
    """Tasks whose runs end in this way, each of them every five seconds."""

    others_go_on: ClassVar[bool] = True
    tasks: list[dict[str, Any]]
    state: str

    def begin(self, world: World) -> None:
        for task in self.tasks:
            world.add_victim(schedule=EVERY_FIVE_SECONDS, overlap="allow", **task)

    def end(self, world: World) -> None:
        """The victims are removed with the trial's tasks."""

    def complaints(self, world: World) -> Iterable[str]:
        yield from is_listed(world)
        yield from runs_end(world, self.state)

    @classmethod
    def raising(cls, luck: random.Random) -> Self:
        return cls(SECONDS, [_python(name) for name in luck.sample(RAISING, 2)], "failed")

    @classmethod
    def returning(cls, luck: random.Random) -> Self:
        tasks = [_python(luck.choice(RETURNING)), {"kind": "shell", "action": {"command": EVERY_BYTE}}]
        return cls(SECONDS, tasks, "completed")


@dataclass
class HugeNumber(Disturbance):
    """A task is sent with a number that no database column holds: it is refused, or it runs."""

    others_go_on: ClassVar[bool] = True
    number: int

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        return cls(SECONDS, luck.choice(HUGE_NUMBERS))

    def begin(self, world: World) -> None:
        action = {"callable": "builtins:dict", "kwargs": {"number": self.number}}
        task = {"kind": "python", "action": action, "schedule": EVERY_FIVE_SECONDS, "name": victim_name()}
        answer = httpx.post(f"{world.stage.system.url}/api/tasks", json=task, timeout=10)
        if answer.status_code == httpx.codes.CREATED:
            world.victim_ids.append(answer.json()["id"])
        elif answer.status_code != httpx.codes.UNPROCESSABLE_ENTITY:
            raise AssertionError(f"the number {self.number} was answered {answer.status_code} {answer.text[:300]}")

    def end(self, world: World) -> None:
        """The victim, if there is one, is removed with the trial's tasks."""

    def complaints(self, world: World) -> Iterable[str]:
        yield from is_listed(world)
        yield from runs_end(world, "completed", "failed")


def _python(name: str) -> dict[str, Any]:
    return {"kind": "python", "action": {"callable": f"{MODULE}:{name}", "kwargs": {}}}

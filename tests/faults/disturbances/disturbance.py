"""What a disturbance is: something that goes wrong for some seconds, and ends."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from tests.faults.disturbances.stage import Stage


@dataclass
class World:
    """What a disturbance finds: a running system, and the tasks of this trial, whose due times are judged."""

    stage: Stage
    lines: Path
    task_ids: list[str] = field(default_factory=list)
    victim_ids: list[str] = field(default_factory=list)
    """Tasks that are there to be spoiled; nobody expects their due times."""

    def add_victim(self, **task: Any) -> str:
        """Its id. It is due every second unless something else is said."""
        schedule = {"kind": "cron", "cron": "* * * * * */1", "timezone": "Europe/Berlin"}
        named = {"name": victim_name(), "schedule": schedule, **task}
        victim = str(self.stage.insist("POST", "/tasks", named)["id"])
        self.victim_ids.append(victim)
        return victim

    def remove_all(self) -> None:
        for task in (*self.task_ids, *self.victim_ids):
            self.stage.insist("DELETE", f"/tasks/{task}")


def victim_name() -> str:
    """One that no search for the trial's tasks finds."""
    return f"victim {uuid4()}"


class Unavailable(Exception):
    """This machine does not allow the disturbance; the message says why."""


@dataclass
class Disturbance:
    """Begun once, and ended in any case. What it draws, it draws when it is made, so that it can be made again."""

    begins_before_tasks: ClassVar[bool] = False
    others_go_on: ClassVar[bool] = False
    """Whether the trial's tasks have nothing to do with it, and have to start on time all the while."""
    spares_others: ClassVar[bool] = False
    """Whether it holds up the trial's tasks alone, so that any other task would start."""
    seconds: float

    def begin(self, world: World) -> None:
        """Raises Unavailable."""
        raise NotImplementedError

    def end(self, world: World) -> None:
        """Also after a beginning that failed in the middle."""
        raise NotImplementedError

    def complaints(self, world: World) -> Iterable[str]:  # noqa: ARG002 - for those that look
        """What is wrong just before the end, beyond what is asked of each trial."""
        return ()

"""Tasks whose stored document cannot be read any more, or does not mean anything."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from tests.faults.disturbances.disturbance import Disturbance, World
from tests.faults.disturbances.kinds.expectations import is_listed

SECONDS = 20.0
SHELL = {"kind": "shell", "action": {"command": "true"}, "overlap": "allow"}
PYTHON = {"kind": "python", "action": {"callable": "time:sleep", "kwargs": {"secs": 0}}, "overlap": "allow"}
ZONES = ("Mars/Olympus", "", "US/Pacific-New", "../etc/passwd")
SCHEDULES = ('{"kind": "sometimes"}', '{"kind": "cron", "cron": "not a cron", "timezone": "UTC"}', "[]", '"daily"')
ACTIONS = ('{"what": 1}', "[]", '"rm"', '{"command": 7, "env": []}')
NUMBERS = ("18446744073709551616", "-9223372036854775809", f"1{'0' * 400}", "1e400")


@dataclass
class SpoiledRow(Disturbance):
    """A part of a task's document is overwritten, beside all doors, while the task is due every second."""

    others_go_on: ClassVar[bool] = True
    task: Mapping[str, object]
    path: str
    value: str
    _spoiled: dict[str, object] = field(default_factory=dict, repr=False, compare=False)

    def begin(self, world: World) -> None:
        victim = world.add_victim(**self.task)
        [(document,)] = world.stage.sql("SELECT spec::text FROM tasks WHERE id = %s", victim)
        self._spoiled[victim] = document
        statement = "UPDATE tasks SET spec = jsonb_set(spec, %s::text[], %s::jsonb) WHERE id = %s"
        world.stage.sql(statement, self.path, self.value, victim)

    def end(self, world: World) -> None:
        for victim, document in self._spoiled.items():
            world.stage.sql("UPDATE tasks SET spec = %s::jsonb WHERE id = %s", document, victim)

    def complaints(self, world: World) -> Iterable[str]:
        return is_listed(world)

    @classmethod
    def zone(cls, luck: random.Random) -> Self:
        return cls(SECONDS, SHELL, "{schedule,timezone}", f'"{luck.choice(ZONES)}"')

    @classmethod
    def schedule(cls, luck: random.Random) -> Self:
        return cls(SECONDS, SHELL, "{schedule}", luck.choice(SCHEDULES))

    @classmethod
    def action(cls, luck: random.Random) -> Self:
        return cls(SECONDS, SHELL, "{action}", luck.choice(ACTIONS))

    @classmethod
    def number(cls, luck: random.Random) -> Self:
        return cls(SECONDS, PYTHON, "{action,kwargs,secs}", luck.choice(NUMBERS))

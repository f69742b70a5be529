"""Runs in Prefect that are due at instants for which the catalogue has no place."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from tests.faults.disturbances.disturbance import Disturbance, World
from tests.faults.disturbances.kinds.expectations import is_listed
from tests.waiting import wait_until

INSTANTS = ("2025-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2199-12-31T23:59:59Z", "0001-01-01T00:00:00Z")
FIRST_INSTANT = INSTANTS[0]


@dataclass
class StrayRuns(Disturbance):
    """Somebody makes runs of a deployment in Prefect, long ago or far ahead."""

    others_go_on: ClassVar[bool] = True
    instants: list[str]

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        return cls(20.0, [FIRST_INSTANT, *luck.sample(INSTANTS[1:], 2)])

    def begin(self, world: World) -> None:
        victim = world.add_victim(kind="shell", action={"command": "true"}, schedule={"kind": "manual"})
        deployment = wait_until(
            lambda: world.stage.insist("GET", f"/tasks/{victim}")["deployment_id"], "the deployment", seconds=30
        )
        for instant in self.instants:
            state = {"type": "SCHEDULED", "state_details": {"scheduled_time": instant}}
            world.stage.prefect("POST", f"/deployments/{deployment}/create_flow_run", {"state": state})

    def end(self, world: World) -> None:
        """They go with their deployment."""

    def complaints(self, world: World) -> Iterable[str]:
        return is_listed(world)

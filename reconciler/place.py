"""What a pass knows of Prefect while it brings tasks there: asked once, and forgotten when the pass is over."""

from collections.abc import Sequence
from threading import Lock
from typing import Any
from uuid import UUID

from db.specs import DEFAULT_WORK_POOL
from db.sync import Desired
from reconciler.deployments import wanted
from reconciler.prefect import Prefect, PrefectRefused

WORKER_TYPE = "warm"


class Place:
    """Prefect, and the work pools, flows and deployments of the same names that were seen there in this pass.

    Several threads may ask it; what is not known is asked for by one of them.
    """

    def __init__(self, prefect: Prefect, tasks: Sequence[Desired]) -> None:
        self.prefect = prefect
        self._tasks = tasks
        self._asking = Lock()
        self._pools: set[str] = set()
        self._flow_ids: dict[str, UUID] = {}
        self._flow_names: dict[UUID, str] = {}
        self._namesakes: dict[tuple[UUID, str], dict[str, Any]] | None = None

    def ensure_pool(self, name: str) -> None:
        """The default pool is made where it is missing; another one is somebody's decision.

        Raises:
            PrefectRefused: there is no such pool.
        """
        with self._asking:
            if name in self._pools:
                return
            if name == DEFAULT_WORK_POOL:
                self.prefect.ensure_work_pool(name, kind=WORKER_TYPE)
            elif not self.prefect.has_work_pool(name):
                cure = f"Make it with `prefect work-pool create '{name}' --type {WORKER_TYPE}`, or choose another."
                raise PrefectRefused(f"There is no work pool {name!r} in Prefect. {cure}", status=404)
            self._pools.add(name)

    def flow_id(self, name: str) -> UUID:
        """The id of the flow of this name, which is made if it is not there."""
        with self._asking:
            if name not in self._flow_ids:
                flow_id = self.prefect.flow_id(name)
                self._flow_ids[name], self._flow_names[flow_id] = flow_id, name
            return self._flow_ids[name]

    def flow_name(self, flow_id: UUID) -> str:
        with self._asking:
            if flow_id not in self._flow_names:
                self._flow_names |= self.prefect.flow_names({flow_id})
            return self._flow_names[flow_id]

    def deployment_named(self, flow_id: UUID, name: str) -> dict[str, Any] | None:
        """The deployment of this flow and name, if there was one when the first of this pass was asked for."""
        with self._asking:
            if self._namesakes is None:
                facts = (wanted(one.task_id, one.task, applied=one.applied) for one in self._tasks if not one.deleted)
                self._namesakes = self.prefect.deployments_named(sorted({one["name"] for one in facts}))
            return self._namesakes.get((flow_id, name))

    def delete_deployment(self, deployment_id: UUID) -> None:
        """Its name is free from then on."""
        self.prefect.delete_deployment(deployment_id)
        with self._asking:
            kept = self._namesakes or {}
            self._namesakes = {key: one for key, one in kept.items() if one["id"] != str(deployment_id)} or None

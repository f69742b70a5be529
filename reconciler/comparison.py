"""The comparison of everything: every task with every deployment, both ways, a slice at a time."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from db import audit, run_requests, sync
from db.engine import Catalogue
from db.specs import TASK_LABEL
from db.sync import Desired
from reconciler.adoption import adopt
from reconciler.aside import Aside
from reconciler.clock import now
from reconciler.flow_run import NOT_AS_EXPECTED
from reconciler.place import Place
from reconciler.prefect import MARKER, PAGE, Prefect
from reconciler.tasks import act, act_on

log = logging.getLogger(__name__)

DEPLOYMENTS_AT_ONCE = PAGE
"""In one slice of the comparison: one call."""
TASKS_AT_ONCE = 10
"""In one slice, of those that are asked for one by one."""


def reconcile_everything(catalogue: Catalogue, prefect: Prefect) -> int:
    """Compares every task with every deployment, both ways. Returns the actions applied; 0 means agreement."""
    comparison = Comparison(catalogue, prefect)
    while comparison.step():
        pass
    return comparison.applied


@dataclass(slots=True)
class Comparison:
    """The comparison of everything, made a slice at a time and then begun anew.

    What was read of Prefect is never kept from one slice to the next: it may be another one by then. A slice in which
    somebody does not answer is made again.
    """

    catalogue: Catalogue
    prefect: Prefect
    tasks: Aside = field(default_factory=lambda: Aside("tasks in Prefect"))
    deployments: Aside = field(default_factory=lambda: Aside("deployments"))
    applied: int = 0
    """The actions so far."""
    _seen: set[UUID] = field(default_factory=set)
    _offset: int = 0
    _rest: list[UUID] | None = None
    """The tasks whose deployments were not listed, once all are."""

    def step(self) -> bool:
        """Compares one slice; whether there are more."""
        if self._rest is None:
            self._compare_a_page()
            return True
        some = self._rest[:TASKS_AT_ONCE]
        self._compare_tasks(some)
        self._rest = self._rest[TASKS_AT_ONCE:]
        if self._rest:
            return True
        self._seen, self._offset, self._rest = set(), 0, None
        return False

    def _compare_a_page(self) -> None:
        if self._offset == 0:
            _notice_another_database(self.catalogue, self.prefect)
        found = list(islice(self.prefect.deployments(offset=self._offset), DEPLOYMENTS_AT_ONCE))
        known = dict(self._identified(found))
        self._seen |= known.keys()
        self._compare_deployments(known)
        self._offset += len(found)
        if len(found) < DEPLOYMENTS_AT_ONCE:
            with self.catalogue.transaction() as session:
                self._rest = sync.not_among(session, self._seen)

    def _identified(self, found: Iterable[dict[str, Any]]) -> Iterator[tuple[UUID, dict[str, Any]]]:
        for one in found:
            try:
                UUID(one["flow_id"])
                yield UUID(one["id"]), one
            except NOT_AS_EXPECTED as error:
                self.deployments.note(one.get("id"), error)

    def _compare_deployments(self, deployments: Mapping[UUID, dict[str, Any]]) -> None:
        found = list(deployments.values())
        flows = self.prefect.flow_names({UUID(one["flow_id"]) for one in found})
        with self.catalogue.transaction() as session:
            wanted = sync.of_deployments(session, set(deployments))
            labelled = _labels(found)
            ours = {str(desired.task_id) for desired in sync.some(session, labelled)} if labelled else set()
        place = Place(self.prefect, list(wanted.values()))
        for deployment_id, deployment in self.deployments.ready(deployments.items(), lambda one: one[0]):
            flow, desired = flows.get(UUID(deployment["flow_id"])), wanted.get(deployment_id)
            if desired is not None:
                self._act(place, desired, deployment, flow)
            elif flow is not None and (deployment.get("labels") or {}).get(TASK_LABEL) not in ours:
                with self.deployments.alone(deployment_id):
                    self.applied += adopt(self.catalogue, deployment, flow)

    def _act(self, place: Place, desired: Desired, deployment: dict[str, Any], flow: str | None) -> None:
        if not self.tasks.waits(desired.task_id):
            with self.tasks.alone(desired.task_id, task_id=desired.task_id):
                self.applied += act_on(self.catalogue, place, desired, deployment, flow)

    def _compare_tasks(self, task_ids: Sequence[UUID]) -> None:
        """Those whose deployments were not listed: not made yet, made since, or gone."""
        with self.catalogue.transaction() as session:
            wanted = sync.some(session, task_ids)
        place = Place(self.prefect, wanted)
        for desired in self.tasks.ready(wanted, lambda one: one.task_id):
            self.applied += act(self.catalogue, place, desired, self.tasks)


def _labels(found: Sequence[dict[str, Any]]) -> set[UUID]:
    """The tasks that deployments say they were made of."""
    said: set[UUID] = set()
    for one in found:
        with suppress(ValueError, TypeError, AttributeError):
            said.add(UUID((one.get("labels") or {}).get(TASK_LABEL)))
    return said


def _notice_another_database(catalogue: Catalogue, prefect: Prefect) -> None:
    """A server without our marker has lost its database, or is a new one: nothing of ours was deleted on purpose."""
    if prefect.variable(MARKER) is not None:
        return
    with catalogue.transaction() as session:
        lost = sync.forget_deployments(session)
        run_requests.reopen_waiting(session, now=now())
        if lost:
            audit.record(
                session, at=now(), actor=audit.SYSTEM, change="prefect.database_replaced", details={"deployments": lost}
            )
    log.info("This Prefect server is new to us: %d tasks are to be deployed anew", lost)
    prefect.set_variable(MARKER, "This server's deployments are kept in agreement with a Duetime catalogue.")

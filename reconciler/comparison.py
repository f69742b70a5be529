"""The comparison of everything: every task with every deployment, both ways, a slice at a time."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from db import audit, run_requests, sync
from db.engine import Catalogue
from db.specs import TASK_LABEL
from reconciler.adoption import adopt
from reconciler.clock import now
from reconciler.place import Place
from reconciler.prefect import MARKER, PAGE, Prefect
from reconciler.tasks import act

log = logging.getLogger(__name__)

DEPLOYMENTS_AT_ONCE = PAGE
"""In one slice of the comparison: one call."""
TASKS_AT_ONCE = 10
"""In one slice, of those that are asked for one by one."""


def reconcile_everything(catalogue: Catalogue, prefect: Prefect) -> int:
    """Compares every task with every deployment, both ways. Returns the actions applied; 0 means agreement."""
    return sum(compare(catalogue, prefect))


def compare(catalogue: Catalogue, prefect: Prefect) -> Iterator[int]:
    """Compares everything, a slice at a time, and yields the actions applied after each.

    What was read of Prefect is never kept from one slice to the next: it may be another one by then.
    """
    _notice_another_database(catalogue, prefect)
    seen: set[UUID] = set()
    listed = prefect.deployments()
    while found := list(islice(listed, DEPLOYMENTS_AT_ONCE)):
        seen |= {UUID(one["id"]) for one in found}
        yield _compare_deployments(catalogue, prefect, found)
    with catalogue.transaction() as session:
        rest = sync.not_among(session, seen)
    for start in range(0, len(rest), TASKS_AT_ONCE):
        yield _compare_tasks(catalogue, prefect, rest[start : start + TASKS_AT_ONCE])


def _compare_deployments(catalogue: Catalogue, prefect: Prefect, found: Sequence[dict[str, Any]]) -> int:
    deployments = {UUID(one["id"]): one for one in found}
    flows = prefect.flow_names({UUID(one["flow_id"]) for one in found})
    with catalogue.transaction() as session:
        wanted = sync.of_deployments(session, set(deployments))
        labelled = _labels(found)
        ours = {str(desired.task_id) for desired in sync.some(session, labelled)} if labelled else set()
    place, applied = Place(prefect, list(wanted.values())), 0
    for deployment_id, deployment in deployments.items():
        flow = flows.get(UUID(deployment["flow_id"]))
        if deployment_id in wanted:
            applied += act(catalogue, place, wanted[deployment_id], deployment, flow=flow)
        elif flow is not None and (deployment.get("labels") or {}).get(TASK_LABEL) not in ours:
            applied += adopt(catalogue, deployment, flow)
    return applied


def _labels(found: Sequence[dict[str, Any]]) -> set[UUID]:
    """The tasks that deployments say they were made of."""
    said: set[UUID] = set()
    for one in found:
        with suppress(ValueError, TypeError, AttributeError):
            said.add(UUID((one.get("labels") or {}).get(TASK_LABEL)))
    return said


def _compare_tasks(catalogue: Catalogue, prefect: Prefect, task_ids: Sequence[UUID]) -> int:
    """Those whose deployments were not listed: not made yet, made since, or gone."""
    with catalogue.transaction() as session:
        wanted = sync.some(session, task_ids)
    place, applied = Place(prefect, wanted), 0
    for desired in wanted:
        deployment = prefect.deployment(desired.deployment_id) if desired.deployment_id else None
        applied += act(catalogue, place, desired, deployment)
    return applied


@dataclass(slots=True)
class Comparison:
    """The comparison of everything, made a slice at a time and then begun anew."""

    catalogue: Catalogue
    prefect: Prefect
    _going_on: Iterator[int] | None = None

    def step(self) -> bool:
        """Compares one slice; whether there are more. After an error it begins anew."""
        going_on, self._going_on = self._going_on or compare(self.catalogue, self.prefect), None
        if next(going_on, None) is None:
            return False
        self._going_on = going_on
        return True


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
